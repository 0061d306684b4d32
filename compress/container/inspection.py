"""A summary of a `.sqz` file for `squeeze-compress inspect`, without building the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from compress import container
from compress.container.layout import Layout
from compress.errors import format_errors_of
from compress.model import Model

BUILTIN_NETWORKS = ("squeezenet1_0", "squeezenet1_1")
"""Networks that the runtime in C knows, and that need no program."""


@dataclass(frozen=True)
class Inspection:
    """A file, its content, the byte counts of its sections and tensors, and the hash of the decoded weights."""

    file: str
    model: Model
    layout: Layout
    weights_sha256: str

    @property
    def runs_in_c(self) -> bool:
        """Whether the runtime in C knows the network's operations."""
        return bool(self.model.program) or self.model.architecture in BUILTIN_NETWORKS

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values, without the tensors' values."""
        return {
            "file": self.file,
            "file_bytes": self.layout.file_bytes,
            "header_bytes": self.layout.header_bytes,
            "label_bytes": self.layout.label_bytes,
            "weights_sha256": self.weights_sha256,
            "architecture": self.model.architecture,
            "classes": self.model.classes,
            "has_labels": bool(self.model.labels),
            "runs_in_c": self.runs_in_c,
            "preprocessing": asdict(self.model.preprocessing),
            "tensors": [
                asdict(tensor) | {"weights": tensor.weights, "bits_per_weight": tensor.bits_per_weight}
                for tensor in self.layout.tensors
            ],
        }


def inspect_file(path: Path, max_weights: int | None = None) -> Inspection:
    """Return the summary of a file, after a complete check of it; `max_weights` as in `container.decode`.

    Raises:
        FormatError: the file breaks the format.
    """
    data = path.read_bytes()
    with format_errors_of(path):
        model = container.decode(data, max_weights)
        layout = container.layout(data, max_weights, model)
    return Inspection(str(path), model, layout, container.weights_sha256(model))
