"""Quality of models on photos: accuracy, fidelity to the float network, comparisons and goals.

`metrics` measures, `intervals` computes confidence intervals, `results` holds both, `round_trip` runs a `.sqz`
file in a fresh process, `compare` measures two models on the same photos, `goals` checks the limits of a pipeline.
"""
