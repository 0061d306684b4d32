"""Recode: a smaller file for a network that was compressed before, with every bit the same."""

from __future__ import annotations

import numpy as np
import pytest

from compress import container
from compress.errors import PassError
from compress.passes import Recode, Share
from compress.tensors.forms import Dense, Shared


@pytest.fixture
def few_values(tiny, context):
    """A dense network with eight values in each layer, as a checkpoint compressed by another program."""
    shared = Share(bits=3)(tiny, context)
    return tiny.with_tensors({name: Dense(shared.tensors[name].to_dense()) for name in tiny.weight_names()})


def test_no_bit_of_any_weight_changes(few_values, context):
    recoded = Recode()(few_values, context)
    assert container.weights_sha256(recoded) == container.weights_sha256(few_values)
    assert all(isinstance(recoded.tensors[name], Shared) for name in few_values.weight_names())


def test_the_file_is_smaller(few_values, context):
    assert context.file_bytes(Recode()(few_values, context)) < 0.5 * context.file_bytes(few_values)


def test_shared_weights_stay_as_they_are(tiny, context):
    shared = Share(bits=3)(tiny, context)
    recoded = Recode()(shared, context)
    assert all(recoded.tensors[name] is shared.tensors[name] for name in tiny.weight_names())


def test_minus_zero_of_a_mask_becomes_zero(tiny, context):
    values = np.array(tiny.tensors["2.weight"].to_dense())
    values[0] = -0.0
    recoded = Recode()(tiny.with_tensors({"2.weight": Dense(values)}), context).tensors["2.weight"]
    assert not recoded.mask[0].any()
    assert np.array_equal(recoded.to_dense(), values)


def test_a_weight_that_no_codebook_can_hold_is_an_error(tiny, context):
    values = np.array(tiny.tensors["2.weight"].to_dense())
    values[0] = np.nan
    with pytest.raises(PassError, match=r"2\.weight.*not finite"):
        Recode()(tiny.with_tensors({"2.weight": Dense(values)}), context)
