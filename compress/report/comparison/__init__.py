"""Runs side by side: their `report.json` files come in; a page, Markdown, JSON or JUnit XML goes out.

`run_files` reads runs, `run_comparison` compares them with the first one, and a module for each form writes the result.
Nothing here imports torch.
"""
