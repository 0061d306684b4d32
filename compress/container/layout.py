"""Where the bytes of a `.sqz` file go."""

from __future__ import annotations

from dataclasses import dataclass

from compress.codecs import entropy_bytes
from compress.codecs.primitives.error_offsets import offset_by
from compress.container.payload import coded_section, decode_symbols
from compress.container.scan_order import OrderName
from compress.container.tensor_record import FormName, TensorHeader
from compress.tensors.forms import FloatName


@dataclass(frozen=True)
class TensorLayout:
    """Where the bytes of one tensor go; its checksum is counted with the header.

    Attributes:
        name: the tensor's name.
        shape: its shape.
        form: `dense`, `pruned` or `shared`.
        codec: name of the codec of the indices or positions; `plain` where values are stored as
            they are, `planes` where they are coded, without a codec for indices.
        order: in which its symbols are coded.
        stored_as: precision of the values or the codebook.
        index_bytes: coded indices with their code table; for a dense or pruned tensor, the values.
        position_bytes: coded positions of the nonzero or kept weights, where they are apart from the indices.
        codebook_bytes: the codebook.
        scale_bytes: coded exponents of rows, columns and kernels' coefficients.
        entropy_bytes: order-0 entropy of the symbols in bytes, tables not counted, and values stored as they are; of
            levels along a trellis that the codec knows, that of the indices in its quantizers.
    """

    name: str
    shape: tuple[int, ...]
    form: FormName
    codec: str
    order: OrderName
    stored_as: FloatName
    index_bytes: int
    position_bytes: int
    codebook_bytes: int
    scale_bytes: int
    entropy_bytes: float

    @property
    def payload_bytes(self) -> int:
        """All of the tensor but its checksum and its record in the header."""
        return self.index_bytes + self.position_bytes + self.codebook_bytes + self.scale_bytes


@dataclass(frozen=True)
class Layout:
    """Where the bytes of a file go.

    Attributes:
        header_bytes: magic, version, header and all checksums.
        label_bytes: class names.
        tensors: the rest, in the file's order.
    """

    header_bytes: int
    label_bytes: int
    tensors: tuple[TensorLayout, ...]

    @property
    def file_bytes(self) -> int:
        """All of the file."""
        return self.header_bytes + self.label_bytes + sum(tensor.payload_bytes for tensor in self.tensors)


def tensor_layout(record: TensorHeader, payload: bytes) -> TensorLayout:
    """Return where the bytes of `payload` go.

    Raises:
        FormatError: its symbols cannot be decoded; the offset counts from `payload[0]`.
    """
    position_bytes, entropy = 0, 0.0
    if record.codec is not None:
        with offset_by(len(payload) - record.coded_bytes, record.codec.name):
            symbols = decode_symbols(record, payload)
            entropy = entropy_bytes(record.codec.as_coded(coded_section(record, payload), symbols))
            position_bytes = record.codec.position_bytes(coded_section(record, payload))
    if record.form == "pruned":
        position_bytes = record.coded_bytes
    codebook_bytes = record.value_bytes if record.form == "shared" else 0
    return TensorLayout(
        name=record.name,
        shape=record.shape,
        form=record.form,
        codec=record.codec.name if record.codec else "plain" if record.coded_value_bytes is None else "planes",
        order=record.order,
        stored_as=record.stored_as,
        index_bytes=len(payload) - position_bytes - codebook_bytes - record.scale_bytes,
        position_bytes=position_bytes,
        codebook_bytes=codebook_bytes,
        scale_bytes=record.scale_bytes,
        entropy_bytes=entropy + record.value_bytes - codebook_bytes,
    )
