"""The program: `squeeze-compress`, or `python -m compress`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is imported ends it as a signal does."""
    try:
        from compress.cli.main import main as program  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    program(prog_name="squeeze-compress")


if __name__ == "__main__":
    main()
