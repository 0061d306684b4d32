"""The documentation site and the figures of docs/theory.md.

`python -m documentation` builds the site from README.md and docs/. Reference pages are made from the commands' help
texts, the docstrings of the Python API, and the JSON schemas. `python -m documentation.theory` draws the figures.
"""
