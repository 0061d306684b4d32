"""Hypothesis strategies for tensors of every form, and a model that holds them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.model import CAFFE, Model
from compress.tensors.forms import Dense, Pruned, Shared
from compress.tensors.levels import levels_codebook


def model_of(*tensors, **fields):
    defaults = {"architecture": "a", "classes": 2, "preprocessing": CAFFE}
    return Model(**defaults | fields, tensors={f"layer.{i}": tensor for i, tensor in enumerate(tensors)})


shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


def floats(bits_per_value):
    return st.floats(width=bits_per_value, allow_nan=False, allow_infinity=False)


@st.composite
def dense(draw):
    stored_as = draw(st.sampled_from(["float16", "float32"]))
    values = draw(arrays.arrays(np.float32, draw(shapes), elements=floats(16 if stored_as == "float16" else 32)))
    return Dense(values, stored_as)


@st.composite
def pruned(draw):
    values = draw(arrays.arrays(np.float32, draw(shapes), elements=floats(32)))
    mask = draw(arrays.arrays(np.bool_, values.shape))
    return Pruned(np.where(mask, values, np.float32(0)), mask)


@st.composite
def shared(draw):
    stored_as = draw(st.sampled_from(["float16", "float32"]))
    values = draw(st.lists(st.floats(-6e4, 6e4, width=16 if stored_as == "float16" else 32), max_size=20))
    codebook = np.array([0, *values], dtype=np.float32)
    if draw(st.booleans()):
        codebook = levels_codebook(len(codebook))
    of_kernels = draw(st.booleans())
    shape = (*draw(arrays.array_shapes(min_dims=2, max_dims=2, min_side=0)), 3, 3) if of_kernels else draw(shapes)
    indices = draw(arrays.arrays(np.uint16, shape, elements=st.integers(0, len(codebook) - 1)))
    exponents = [
        draw(st.none() | arrays.arrays(np.int8, indices.shape[axis])) if indices.ndim > axis else None
        for axis in range(2)
    ]
    coefficients = draw(arrays.arrays(np.int8, (3, 3), elements=st.integers(-128, 90))) if of_kernels else None
    return Shared(codebook, indices, stored_as, *exponents, coefficients)
