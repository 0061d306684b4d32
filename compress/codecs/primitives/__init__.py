"""Parts that codecs share: prefix codes, the range coder, the trellis, variable-length integers, histograms.

In come symbols or bits, out come bytes, and back. A primitive imports no codec.
"""
