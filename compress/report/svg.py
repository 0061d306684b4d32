"""Matplotlib figures as SVG that lives inside a page.

Text stays text in the page's own font, colours are the page's CSS variables and so follow its theme, the drawing
scales to its container, and the same figure always gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

VARIABLES: Final = (
    "ink", "muted", "rule", "accent", "pale", "second",
    "part-indices", "part-positions", "part-codebooks", "part-scales", "part-biases", "part-names", "part-header",
)  # fmt: skip
"""CSS variables of the page that charts are drawn in."""

_SENTINELS: Final = {name: f"#0101{number:02x}" for number, name in enumerate(VARIABLES, start=1)}
_VARIABLE_OF: Final = {sentinel: f"var(--{name})" for name, sentinel in _SENTINELS.items()}
_POINTS_PER_INCH: Final = 72

STYLE: Final[dict[Any, Any]] = {
    "axes.edgecolor": _SENTINELS["rule"],
    "axes.facecolor": "none",
    "axes.linewidth": 1.0,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib: every machine measures text alike
    "font.size": 12,
    "svg.fonttype": "none",
    "svg.hashsalt": "squeeze-compress",
    "text.color": _SENTINELS["ink"],
    "text.parse_math": False,  # names come from users: a dollar sign is a dollar sign
    "xtick.color": _SENTINELS["rule"],
    "xtick.labelcolor": _SENTINELS["muted"],
    "xtick.labelsize": 11,
}


def colour(variable: str) -> str:
    """Return the colour to draw in, so that the page shows its CSS variable `--variable`."""
    return _SENTINELS[variable]


@contextmanager
def style() -> Iterator[None]:
    """Hold matplotlib's settings for these charts, while they are drawn and written."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many CSS pixels."""
    return Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), dpi=_POINTS_PER_INCH)


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure and axes whose coordinates are CSS pixels from its upper left corner."""
    drawing = figure(width, height)
    axes = drawing.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return drawing, axes


def inline(drawing: Figure, name: str, title: str, *, stretch: bool = False) -> str:
    """Return the figure as an `<svg>` element.

    Args:
        drawing: drawn within `style()`, in colours from `colour` alone.
        name: unique on the page; begins all ids of the element.
        title: what the chart shows, for those who do not see it.
        stretch: let the page set width and height apart; for drawings without text.
    """
    text = io.StringIO()
    drawing.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(text.getvalue())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = _attributes(element.attrib, name)
        element.text, element.tail = (element.text or "").strip() or None, None
    for tag in ("metadata", "defs/style/.."):
        for element in root.findall(tag):
            root.remove(element)
    view = root.attrib["viewBox"]
    root.attrib = {"class": "chart", "viewBox": view, "role": "img", "aria-label": title, "id": name}
    if stretch:
        root.attrib["preserveAspectRatio"] = "none"
    label = ElementTree.Element("title")
    label.text = title
    root.insert(0, label)
    return ElementTree.tostring(root, encoding="unicode")


def _attributes(attributes: dict[str, str], name: str) -> dict[str, str]:
    """Make ids unique, colours the page's, numbers short; leave the rest."""
    kept = {key.rpartition("}")[2]: value for key, value in attributes.items()}
    if "id" in kept:
        kept["id"] = f"{name}-{kept['id']}"
    if "href" in kept:
        kept["href"] = f"#{name}-{kept['href'].removeprefix('#')}"
    if "clip-path" in kept:
        kept["clip-path"] = kept["clip-path"].replace("#", f"#{name}-")
    if "style" in kept:
        kept["style"] = _style(kept["style"])
    for key in ("d", "x", "y", "transform"):
        if key in kept:
            kept[key] = _shorten(kept[key])
    if kept.get("transform", "").startswith("rotate(-0 "):
        del kept["transform"]
    return kept


def _style(declarations: str) -> str:
    themed = re.sub(r"#[0-9a-f]{6}", lambda match: _VARIABLE_OF[match[0]], declarations)
    return re.sub(r"font-family:[^;]*;? ?", "", themed).replace(": ", ":").replace("; ", ";")


def _shorten(numbers: str) -> str:
    """Round to hundredths of a pixel: smaller, and the same whatever the last bits of the arithmetic were."""
    rounded = re.sub(r"-?\d+\.\d+", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return " ".join(rounded.replace("-0 ", "0 ").split())
