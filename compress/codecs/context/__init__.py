"""Codec `context`: adaptive binary arithmetic coding of levels.

In come the levels of a tensor as a matrix, out come the bits of a range coder. `context_codec` reads and writes the
stream, `level_coder` codes level by level with the contexts of `context_model`, the mixers of `logistic_mixing`, the
codes of large magnitudes of `escape_codes` and, for correlated channels, `nlms_predictor`.
"""
