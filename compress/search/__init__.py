"""Search: the values of a pipeline that give the smallest file, or the most accurate one, within limits.

In come a pipeline with a section `search` and the limits. `sensitivity` compresses each layer alone; `warm_start` turns
this into the first trials; `study` lets Optuna suggest further ones; `trial_runner` runs a pipeline with the values of
a trial, and stops when the trial cannot win. Out come the winner's pipeline and file, and a page with all trials.
"""
