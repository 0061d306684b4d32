"""Small models with every form of tensor, for files of the tests and of the fuzzer. Golden files hold them, too."""

from __future__ import annotations

import numpy as np

from compress.model import Model, Preprocessing
from compress.tensors.forms import Dense, Pruned, Shared
from compress.tensors.levels import levels_codebook


def small_model() -> Model:
    """A tensor of every form, in a file of a few hundred bytes."""
    indices = np.array([[0, 1, 2], [3, 0, 0], [0, 0, 1], [2, 2, 0]], dtype=np.uint16)
    codebook = np.array([0, -0.5, 0.25, 1.5], dtype=np.float32)
    rows, columns = np.array([-3, 0, 4, -128], dtype=np.int8), np.array([1, 1, 127], dtype=np.int8)
    mask = np.array([[True, False, True], [False, False, True]])
    return Model(
        architecture="small",
        classes=3,
        preprocessing=Preprocessing(8, 9, "crop", "L", 1 / 255, (0.485,), (0.229,), short_side=10),
        tensors={
            "layer.0.weight": Shared(codebook, indices, "float16", rows, columns),
            "layer.0.bias": Dense(np.array([1.5, -0.0, 65504, 2**-24], dtype=np.float32), "float16"),
            "layer.1.weight": Pruned(np.where(mask, np.float32(0.1), np.float32(0)), mask),
            "layer.1.bias": Dense(np.array([0.1, -1e-40], dtype=np.float32)),
            "layer.2.weight": Shared(codebook / np.float32(3), indices.reshape(2, 2, 3, 1), "float32"),
        },
        labels=("a cat", "a dog", "neither, ä"),
    )


def levels_model() -> Model:
    """Codebooks of levels, of a weight and of a bias, and values that are smaller when coded, in every form."""
    places = np.arange(60)
    symbols = (places * places % 7).astype(np.uint16)
    rows = np.array([3, -2, 0], dtype=np.int8)
    mask = places % 4 == 0
    smooth = np.ldexp(256 + places, -12).astype(np.float32)  # exponents hardly vary
    return Model(
        architecture="levels",
        classes=3,
        preprocessing=Preprocessing(8, 8, "squash", "RGB", 1.0, (), ()),
        tensors={
            "layer.0.weight": Shared(levels_codebook(5), symbols.reshape(3, 5, 2, 2), "float16", rows),
            "layer.0.bias": Shared(levels_codebook(4200), np.array([0, 4199, 2], dtype=np.uint16), "float32", rows),
            "layer.1.weight": Shared(np.append(np.float32(0), smooth), symbols.reshape(3, 20), "float32"),
            "layer.1.bias": Dense(smooth * (1 - 2 * (places % 2)).astype(np.float32), "float16"),
            "layer.2.weight": Pruned(np.where(mask, smooth, np.float32(0)), mask),
        },
    )


def coefficients_model() -> Model:
    """Coefficients of kernels, with and without other exponents, on levels and with another codebook."""
    symbols = (np.arange(54) ** 2 % 11).astype(np.uint16).reshape(3, 2, 3, 3)
    rows, columns = np.array([3, -2, -128], dtype=np.int8), np.array([0, 5], dtype=np.int8)
    of_kernel = np.array([[9, 4, 4], [4, 1, 0], [3, 0, -127]], dtype=np.int8)
    thirds = np.array([0, 1, -2, 4, 5, 1e30, 6, 7, 8, 9, -1e-30], dtype=np.float32) / np.float32(3)
    return Model(
        architecture="coefficients",
        classes=3,
        preprocessing=Preprocessing(8, 8, "squash", "RGB", 1.0, (), ()),
        tensors={
            "layer.0.weight": Shared(levels_codebook(11), symbols, "float16", rows, columns, of_kernel),
            "layer.1.weight": Shared(levels_codebook(11), symbols, "float16", None, None, of_kernel),
            "layer.2.weight": Shared(thirds, symbols, "float32", rows, None, of_kernel),
            "layer.3.weight": Shared(thirds, symbols[:0], "float32", rows[:0], columns, of_kernel),
        },
    )
