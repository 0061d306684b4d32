"""Attacks on coefficients of kernels. All checksums are correct, so that only the reader's other checks can refuse."""

from __future__ import annotations

import forge
import numpy as np
import pytest

from benchmarks.format_models import coefficients_model
from compress.container.file import decode, encode
from compress.errors import FormatError

GOOD = encode(coefficients_model())
RECORDS = forge.header_of(GOOD).tensors
LEVELS, ALONE, CODEBOOK, _EMPTY = range(4)


def largest_of_codebook(value):
    """The file with another number as the largest entry."""
    old = np.float32(1e30) / np.float32(3)
    payload = forge.payload_of(GOOD, CODEBOOK).replace(old.tobytes(), np.float32(value).tobytes())
    return forge.with_payload(GOOD, CODEBOOK, payload)


LIMIT = np.finfo(np.float32).max / 16 / 2.0 ** ((3 + 9) / 4)
"""Of the codebook: the largest exponent of a row is 3, the largest of a coefficient 9."""

ATTACKS = {
    "kernels of another size": (
        forge.with_tensor(GOOD, LEVELS, shape=(3, 2, 9, 1)),
        r"form .* of shape \(3, 2, 9, 1\)",
    ),
    "without kernels": (forge.with_tensor(GOOD, LEVELS, shape=(3, 18)), r"form .* of shape \(3, 18\)"),
    "exponents that overlap the symbols": (
        forge.with_tensor(
            GOOD,
            ALONE,
            exponent_bytes=(None, None, RECORDS[ALONE].exponent_bytes[2] + 1),
            symbol_bytes=RECORDS[ALONE].symbol_bytes - 1,
        ),
        "tensor layer.1.weight",
    ),
    "exponents in an unknown code": (
        forge.with_payload(GOOD, ALONE, b"\x09" + forge.payload_of(GOOD, ALONE)[1:]),
        "tensor layer.1.weight: exponents of coefficients: no exponents",
    ),
    "a weight that may be beyond float32": (largest_of_codebook(1.01 * LIMIT), "beyond float32"),
}


def test_the_attacked_file_is_good():
    assert decode(GOOD).weight_names() == decode(largest_of_codebook(0.99 * LIMIT)).weight_names()


@pytest.mark.parametrize(("data", "problem"), ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_a_format_error_with_an_offset(data, problem):
    with pytest.raises(FormatError, match=problem) as caught:
        decode(data)
    assert 0 <= caught.value.offset <= len(data)
