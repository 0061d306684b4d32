"""The command line: `main` groups the commands and turns errors into exit codes; `console` prints.

Commands import torch and matplotlib when they run, so that `--help` and `inspect` answer at once.
"""
