"""What is in a `.sqz` file, without building the network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from compress import container
from compress.container.layout import Layout
from compress.errors import format_errors_of
from compress.model import Model
from compress.tensors.forms import Dense, Shared, Tensor


@dataclass(frozen=True)
class TensorInspection:
    """One tensor.

    Attributes:
        name: torchvision's tensor name.
        shape: as in torch.
        form: `dense`, `pruned` or `shared`; or `coefficients`, where those of kernels are what is shared.
        weights: product of the shape.
        kept: how many are not pruned.
        codebook_entries: shared values, the zero of pruned weights included; 0 where none are shared.
        codec: of the indices.
        bits_per_weight: all its bytes, over its weights.
    """

    name: str
    shape: tuple[int, ...]
    form: str
    weights: int
    kept: int
    codebook_entries: int
    codec: str
    bits_per_weight: float
    index_bytes: int
    position_bytes: int
    codebook_bytes: int
    scale_bytes: int


@dataclass(frozen=True)
class Inspection:
    """A whole file; the bytes of its parts sum to `file_bytes`."""

    file: str
    file_bytes: int
    header_bytes: int
    label_bytes: int
    model: Model
    weights_sha256: str
    tensors: tuple[TensorInspection, ...]

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values, tensors' values left out."""
        fields: dict[str, object] = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "model"
        }
        return fields | {
            "architecture": self.model.architecture,
            "classes": self.model.classes,
            "labelled": bool(self.model.labels),
            "preprocessing": dataclasses.asdict(self.model.preprocessing),
            "tensors": [dataclasses.asdict(tensor) for tensor in self.tensors],
        }


def inspect_file(path: Path, max_weights: int | None = None) -> Inspection:
    """Read and check a file in full.

    Args:
        path: of a `.sqz` file.
        max_weights: as `compress.container.decode`.
    Raises:
        FormatError: it is not what the format says.
    """
    data = path.read_bytes()
    with format_errors_of(path):
        model = container.decode(data, max_weights)
        layout = container.layout(data, max_weights)
    return Inspection(
        str(path),
        len(data),
        layout.header_bytes,
        layout.label_bytes,
        model,
        container.weights_sha256(model),
        _tensors(model, layout),
    )


def _tensors(model: Model, layout: Layout) -> tuple[TensorInspection, ...]:
    found = []
    for part in layout.tensors:
        tensor = model.tensors[part.name]
        weights = tensor.to_dense().size
        found.append(
            TensorInspection(
                name=part.name,
                shape=part.shape,
                form="coefficients" if _has_coefficients(tensor) else part.form,
                weights=weights,
                kept=weights if isinstance(tensor, Dense) else int(tensor.mask.sum()),
                codebook_entries=len(tensor.codebook) if isinstance(tensor, Shared) else 0,
                codec=part.codec,
                bits_per_weight=part.payload_bytes * 8 / max(weights, 1),
                index_bytes=part.index_bytes,
                position_bytes=part.position_bytes,
                codebook_bytes=part.codebook_bytes,
                scale_bytes=part.scale_bytes,
            )
        )
    return tuple(found)


def _has_coefficients(tensor: Tensor) -> bool:
    return isinstance(tensor, Shared) and tensor.coefficient_exponents is not None
