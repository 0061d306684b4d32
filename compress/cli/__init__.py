"""The command line: words of the shell come in; tables, messages and an exit code go out.

`main` has the group of commands and turns errors into exit codes. The commands parse, call the rooms below and print
through `console`. They import torch and matplotlib when they run, so that `--help` and `inspect` answer at once.
"""
