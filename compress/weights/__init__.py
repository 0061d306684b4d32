"""Weights: where a network's weights come from, checked and as a `Model`.

A source (`weight_sources.py`) is the section `model` of a pipeline: weights in installed packages, a checkpoint of
SqueezeNet, the file of Deep Compression, or a network that the user's code makes. `checkpoint_file` reads checkpoints
without running code in them; `state_dict_search` finds the tensors that fit a network. `model_files` reads a file of
any kind that a command takes.
"""
