"""How a loaded network shows itself: in one line, and in a notebook with the bytes of its file."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from html import escape
from typing import Any

from torch import nn

from compress import container
from compress.container.layout import Layout
from compress.model import Model
from compress.networks.network_class_names import describe_outputs

_COLORS = {
    "indices": "#2a78b8", "values": "#7a5bb5", "positions": "#2c9c8f", "codebooks": "#d98a1f",
    "scales": "#b8577f", "biases": "#8a8f3c", "class names": "#8c8c8c", "header": "#5c6670",
}  # fmt: skip
_BAR = "display:flex;gap:1px;height:1em;margin:.5em 0 .2em;border-radius:3px;overflow:hidden;max-width:40em"
_MIN_FRACTION = 0.01
"""Smallest fraction of the file that has a segment of the bar of its own; smaller tensors share one."""

_NAMED_TENSORS = 3
"""The largest ones, named below the bar."""


def with_view(network: nn.Module, model: Model, data: bytes) -> nn.Module:
    """Give a network a short `repr` and a view for notebooks; it stays an instance of its class.

    Args:
        network: of the model.
        model: as decoded.
        data: the file.
    """
    kind: Any = type(network)
    network.__class__ = _viewed_class(kind)
    vars(network).update(_headline=_headline_of(model, data), _file_content=data)
    return network


class NotebookView(nn.Module):
    """Added to the class of a loaded network. `torch.nn.Module.__repr__(network)` still lists its modules."""

    _headline: str
    _file_content: bytes

    def __init_subclass__(cls, **_: Any) -> None:
        """Keep the class that `with_view` makes from the user's own `__init_subclass__`, such as that of a registry."""

    def __repr__(self) -> str:
        return f"<{self._headline}>"

    def _repr_html_(self) -> str:
        """Return the view that Jupyter shows."""
        return to_html(self._headline, container.layout(self._file_content))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle and copy by the class of the user's code: a class made here has no name to import."""
        reduced: Any = super().__reduce_ex__(protocol)
        rebuild, arguments, *state = reduced
        if arguments[:1] != (type(self),):
            return rebuild, arguments, *state
        return _rebuild, (rebuild, type(self).__mro__[2], *arguments[1:]), *state


@cache
def _viewed_class(kind: Any) -> Any:
    return type(kind.__name__, (NotebookView, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def _rebuild(rebuild: Any, kind: Any, *arguments: Any) -> Any:
    return rebuild(_viewed_class(kind), *arguments)


def _headline_of(model: Model, data: bytes) -> str:
    parameters = model.parameter_count()
    name, size = model.architecture.partition(" ")[0], f"{parameters:,} parameters in {len(data):,} bytes"
    return f"{name}: {size} ({parameters * 4 / len(data):.1f} times smaller), {describe_outputs(model)}"


def to_html(headline: str, layout: Layout) -> str:
    """Return where the bytes of a file went: a bar of its tensors, one of its components, and all tensors on request.

    Colors of the text are those of the page, so that it is read on a light and on a dark one.
    """
    components = {name: count for name, count in layout.bytes_by_component.items() if count}
    legend = " &nbsp; ".join(
        f'<span style="white-space:nowrap"><span style="color:{_COLORS[name]}">&#9632;</span> {name} {count:,}</span>'
        for name, count in components.items()
    )
    tensors = _largest_tensors(layout)
    largest = ", ".join(f"{escape(name)} {count:,}" for name, count in list(tensors.items())[:_NAMED_TENSORS])
    rows = "".join(
        f"<tr><td>{escape(tensor.name)}</td><td>{' x '.join(map(str, tensor.shape))}</td>"
        f"<td>{tensor.bits_per_weight:.2f}</td><td>{tensor.payload_bytes:,}</td></tr>"
        for tensor in layout.tensors
    )
    return (
        f"<div><b>{escape(headline)}</b>"
        f"{_bar('bytes by tensor', [(name, count, _COLORS['indices']) for name, count in tensors.items()])}"
        f"<div>largest tensors: {largest}</div>"
        f"{_bar('bytes by component', [(name, count, _COLORS[name]) for name, count in components.items()])}"
        f"<div>{legend}</div><details><summary>{len(layout.tensors)} tensors</summary><table><thead><tr><th>tensor</th>"
        f"<th>shape</th><th>bits/weight</th><th>bytes</th></tr></thead><tbody>{rows}</tbody></table></details></div>"
    )


def _largest_tensors(layout: Layout) -> dict[str, int]:
    """Return the bytes of the tensors, the largest first; the small ones and the header together as the last."""
    file_bytes = sum(layout.bytes_by_component.values())
    tensors = sorted(layout.tensors, key=lambda tensor: -tensor.payload_bytes)
    large = {t.name: t.payload_bytes for t in tensors if t.payload_bytes >= _MIN_FRACTION * file_bytes}
    rest = file_bytes - sum(large.values())
    return large | ({f"{len(tensors) - len(large)} smaller tensors, names and header": rest} if rest else {})


def _bar(title: str, parts: Iterable[tuple[str, int, str]]) -> str:
    segments = "".join(
        f'<span style="flex:{count};background:{tone}" title="{escape(name)}: {count:,} bytes"></span>'
        for name, count, tone in parts
    )
    return f'<div style="{_BAR}" role="img" aria-label="{title}">{segments}</div>'
