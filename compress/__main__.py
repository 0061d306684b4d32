"""The program: `squeeze-compress`, or `python -m compress`."""

import gc
import signal
import sys

_COLLECTED_OBJECTS = 200_000
"""New objects between two garbage collections. With Python's 700, they take a tenth of the time of imports."""


def main() -> None:
    """Run the command line; Ctrl-C while it is imported ends it as a signal does."""
    gc.set_threshold(_COLLECTED_OBJECTS)
    try:
        from compress.cli.main import main as program  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        program(prog_name="squeeze-compress")
    finally:
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C would print a traceback of the shutdown
        gc.freeze()  # otherwise Python searches all modules for garbage at exit: a sixth of the time of `verify`


if __name__ == "__main__":
    main()
