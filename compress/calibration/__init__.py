"""Calibration: how much an error in each weight raises the divergence of a network's outputs.

Input: a float network and calibration photos, which need no labels. Output: the Fisher information of each layer
(`LayerStatistics`), which `FisherStatistics` gathers and caches in memory and on disk; and how much each layer of a
compressed network contributes to its divergence. Passes use both to choose which weights to prune and how finely to
quantize the others.
"""

from __future__ import annotations
