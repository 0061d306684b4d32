"""Estimates of file sizes from levels along the coarse trellis."""

import numpy as np
import pytest

from compress.codecs import CODECS, WRITERS, coarse_writers
from compress.codecs.primitives.trellis import TRELLIS_256, TRELLIS_4096, trellis_levels
from compress.tensors.levels import levels_to_symbols


def test_levels_along_the_coarse_trellis_take_as_many_bytes_as_along_that_of_files():
    indices = np.rint(np.random.default_rng(1).laplace(0, 0.5, (256, 64))).astype(np.int32)
    coarse, fine = (levels_to_symbols(trellis_levels(indices, trellis)) for trellis in (TRELLIS_256, TRELLIS_4096))
    expected = len(CODECS["context"].encode(fine))
    assert len(WRITERS["context-coarse"].encode(coarse)) == pytest.approx(expected, rel=0.01)
    assert len(CODECS["context"].encode(coarse)) > 1.2 * expected


def test_only_context_has_a_coarse_writer():
    assert coarse_writers(["context", "huffman"]) == ("context-coarse", "huffman")
    assert coarse_writers(["context-small", "raw-small"]) == ("context-coarse", "raw-small")
    assert "context-coarse" not in CODECS
