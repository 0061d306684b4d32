"""The documentation site: `python -m documentation` builds it from README.md and docs/.

Reference pages are made from the commands' help texts, the docstrings of the Python API, and the JSON schemas.
"""
