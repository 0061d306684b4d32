"""Training of tensors in their forms, for the passes `train` (labels) and `distill` (no labels).

`TrainedNetwork` represents each tensor by a parameter: pruned weights stay zero, and weights that share a codebook
entry keep sharing it. `SupervisedTraining` and `Distillation` define the steps; `run_steps` runs and resumes them. May
import `data`, `calibration`, `networks` and `tensors`; never `passes`.
"""

from __future__ import annotations
