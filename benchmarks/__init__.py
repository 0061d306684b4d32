"""Measurements of this project and its peers: rate and accuracy, codecs, training, damaged files, killed runs.

Each module with a `main` is a command, `python -m benchmarks.NAME`; reports go to `reports/` and work files to `out/`.
"""
