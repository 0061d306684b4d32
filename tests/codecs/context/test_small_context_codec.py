"""Streams of `context` for readers with little memory."""

import numpy as np
import pytest

from compress.codecs import CODECS, WRITERS
from compress.codecs.context.small_context_codec import MAX_TABLE_BYTES, max_table_bytes
from compress.container.codec_choice import smallest_coding

SMALL = WRITERS["context-small"]


def test_a_stream_has_no_prediction_and_is_read_as_context():
    symbols = np.tile(np.arange(300, dtype=np.uint16) ** 2 % 41, (40, 1))
    stream = SMALL.encode(symbols)
    assert CODECS["context"].encode(symbols)[0] & 1
    assert not stream[0] & 1
    assert np.array_equal(CODECS["context"].decode(stream, symbols.shape), symbols)


@pytest.mark.parametrize("shape", [(256, 64, 3, 3), (1000, 512, 1, 1), (96, 16), (5,), ()])
def test_layers_of_squeezenet_fit(shape):
    assert max_table_bytes(shape) <= MAX_TABLE_BYTES


def test_a_matrix_with_too_many_columns_takes_another_scan_order():
    symbols = (np.arange(3 * 6000, dtype=np.uint16) ** 2 % 5).reshape(3, 6000)
    assert SMALL.candidate(symbols).min_bytes > symbols.nbytes
    assert smallest_coding(symbols, [SMALL, CODECS["raw"]]).scan_order == "in-out"


def test_a_layer_that_fits_in_no_scan_order_takes_another_codec():
    symbols = np.zeros((3000, 3000), dtype=np.uint16)
    assert smallest_coding(symbols, [SMALL, CODECS["raw"]]).codec is CODECS["raw"]
