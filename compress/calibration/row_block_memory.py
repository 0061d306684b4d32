"""The default memory of the statistics of single rows."""

ROW_BLOCK_BYTES = 1_200_000_000
"""Default of the memory for the row blocks of all layers together. Those of SqueezeNet take 1.14 GB."""
