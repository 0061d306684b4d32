"""Matplotlib figures as SVG elements of a page.

Text stays text in the page's font, colors are CSS variables of the page, and equal figures give equal bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

CSS_VARIABLES: Final = ("ink", "muted", "rule", "accent", "pale", "second", "part-positions")

_ROUNDING_NATS: Final = 1e-8
"""Divergences below it come from the rounding of float32 logits."""

_NATS_OF_ZEROS: Final = 1e-5
"""Place of 0 on an axis of divergences that are all 0."""

# Matplotlib draws in placeholder colors, and `to_svg` replaces them by CSS variables.
_PLACEHOLDERS: Final = {name: f"#0101{number:02x}" for number, name in enumerate(CSS_VARIABLES, start=1)}
_VARIABLES: Final = {placeholder: f"var(--{name})" for name, placeholder in _PLACEHOLDERS.items()}
_POINTS_PER_INCH: Final = 72

_RC_PARAMS: Final[dict[Any, Any]] = {
    "axes.edgecolor": _PLACEHOLDERS["rule"],
    "axes.facecolor": "none",
    "axes.linewidth": 1.0,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",  # part of matplotlib: text has the same width on every machine
    "font.size": 12,
    "svg.fonttype": "none",
    "svg.hashsalt": "squeeze-compress",
    "text.color": _PLACEHOLDERS["ink"],
    "text.parse_math": False,  # a dollar sign in a user's name is no math
    "xtick.color": _PLACEHOLDERS["rule"],
    "xtick.labelcolor": _PLACEHOLDERS["muted"],
    "xtick.labelsize": 11,
}


def lowest_nats(divergences: Iterable[float]) -> float:
    """Return the place of 0 on a logarithmic axis, which has none: a third of the smallest other divergence."""
    return min((nats / 3 for nats in divergences if nats > _ROUNDING_NATS), default=_NATS_OF_ZEROS)


def color(variable: str) -> str:
    """Return the matplotlib color that becomes the CSS variable `--variable`."""
    return _PLACEHOLDERS[variable]


@contextmanager
def chart_style() -> Iterator[None]:
    """Set matplotlib's parameters while charts are drawn and written.

    Its warnings of letters that its font lacks are off: the reader's fonts draw the text.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(_RC_PARAMS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in CSS pixels."""
    return Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), dpi=_POINTS_PER_INCH)


def label_powers(
    axis: Axis, words: Callable[[float], str], subs: Sequence[float] = (1,), max_ticks: int | None = None
) -> None:
    """Label a logarithmic axis at powers of ten times `subs`."""
    axis.set_major_locator(LogLocator(10, subs=subs, numticks=max_ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_formatter(NullFormatter())


def to_svg(figure: Figure, name: str, title: str) -> str:
    """Return the figure as an `<svg>` element.

    Args:
        figure: drawn within `chart_style()`, in colors from `color` only.
        name: unique on the page; prefix of all ids.
        title: for screen readers.
    """
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(text.getvalue())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = _page_attributes(element.attrib, name)
        element.text, element.tail = (element.text or "").strip() or None, None
    for path in ("metadata", "defs/style/.."):
        for element in root.findall(path):
            root.remove(element)
    view_box = root.attrib["viewBox"]
    root.attrib = {"class": "chart", "viewBox": view_box, "role": "img", "aria-label": title, "id": name}
    label = ElementTree.Element("title")
    label.text = title
    root.insert(0, label)
    return ElementTree.tostring(root, encoding="unicode")


def _page_attributes(attributes: dict[str, str], name: str) -> dict[str, str]:
    plain = {key.rpartition("}")[2]: value for key, value in attributes.items()}
    changed = {key: _page_value(key, value, name) for key, value in plain.items()}
    return {key: value for key, value in changed.items() if not value.startswith("rotate(-0 ")}


def _page_value(key: str, value: str, name: str) -> str:
    match key:
        case "id":
            return f"{name}-{value}"
        case "href" | "clip-path":
            return value.replace("#", f"#{name}-")
        case "style":
            return _page_style(value)
        case "d" | "x" | "y" | "transform":
            return _round_numbers(value)
    return value


def _page_style(declarations: str) -> str:
    themed = re.sub(r"#[0-9a-f]{6}", lambda match: _VARIABLES[match[0]], declarations)
    return re.sub(r"font-family:[^;]*;? ?", "", themed).replace(": ", ":").replace("; ", ";")


def _round_numbers(numbers: str) -> str:
    """Round to hundredths of a pixel: small, and the same on every machine."""
    rounded = re.sub(r"-?\d+\.\d+", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return " ".join(rounded.replace("-0 ", "0 ").split())
