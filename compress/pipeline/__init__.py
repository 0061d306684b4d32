"""Pipelines: the stages of a configuration run one after another.

In comes a `Pipeline`. `inputs` loads weights and photos; `stages` runs the passes, with a cache; `runner` writes
`model.sqz`, reads it back in a new process, and writes the report. Out come the file and the record of the run.
"""
