"""Quality of models on photos: accuracy, fidelity to the float network, comparisons and goals.

Models and photos come in; metrics with confidence intervals (`results`) go out. `round_trip` measures a `.sqz` file in
a fresh process, `compare` measures two models on the same photos, `goals` checks the limits of a pipeline.
"""
