"""Quantization of weight matrices: statistics and float weights come in, codebooks and their indices go out.

`regularization` builds a `layer_quantizer` from calibration statistics, `channel_balancing` scales and sorts channels,
and `step_sizes` sets the steps. `assignment` chooses a level or a codebook entry for every weight, with error feedback:
along a trellis with a Viterbi search (`viterbi`), or along several paths through a row (`entry_search`). Both minimize
divergence + lambda * bits (`rate_distortion`). `codebooks` and `kmeans` make codebooks. `lambda_search` finds the
lambda for a file size. Passes call this room; it knows no passes, files or photos.
"""
