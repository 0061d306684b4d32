"""Training of what a network may still change, for the passes `train` (labels) and `distill` (no labels).

In: a model, the context with its calibration photos, and the options of the pass. `TrainedNetwork` represents each
tensor by a parameter: pruned weights stay zero, and weights that share a codebook entry keep sharing it.
`SupervisedTraining` and `Distillation` run the steps, and `run_steps` resumes an interrupted run from its checkpoint.
Out: the trained tensors, in the same forms as before. May import `data`, `calibration`, `networks` and `tensors`; never
`passes`.
"""

from __future__ import annotations
