"""Codec `context`: adaptive binary arithmetic coding of levels.

`context_codec` reads and writes the stream. `level_coder` codes each level with the contexts of `context_model`, the
mixers of `logistic_mixing`, the `escape_codes` of large magnitudes and, for correlated channels, `nlms_predictor`.
"""
