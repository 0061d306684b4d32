"""The command line: arguments come in; text, JSON and an exit code go out.

`main` groups the commands and turns errors into exit codes; `console` prints; `options` has what commands share.

Commands import torch and matplotlib when they run, so that `--help` and `inspect` answer at once.
"""
