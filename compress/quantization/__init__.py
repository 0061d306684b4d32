"""Quantization of weight matrices: statistics and float weights come in, codebooks and their indices go out.

Uniform levels: `regularization` builds a `layer_quantizer` from calibration statistics, `channel_balancing` scales and
sorts channels, `step_sizes` sets the steps, and `trellis_search` assigns the levels with a Viterbi search. Free
codebooks: `kmeans` finds the entries, and `codebook_refinement` assigns them with `gptq`. Both minimize divergence +
lambda * bits (`rate_distortion`). `lambda_search` finds the lambda for a file size. Passes call this room; it knows no
passes, files or photos.
"""
