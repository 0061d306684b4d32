"""Drawings of Mermaid diagrams. GitHub draws them itself; the site would load a script from another server.

A drawing's name is the hash of its diagram. `npx @mermaid-js/mermaid-cli -i DIAGRAM.mmd -o HASH.svg -c config.json -b
white` draws one, with the `config.json` of this folder.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

DRAWINGS = Path(__file__).parent

_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def diagrams(page: str) -> dict[str, str]:
    """Return the Mermaid diagrams of a page, by the names of their drawings."""
    return {f"{hashlib.sha256(source.encode()).hexdigest()[:12]}.svg": source for source in _DIAGRAM.findall(page)}


def with_drawings(page: str) -> str:
    """Replace the diagrams of a page by images beside it."""
    for name, source in diagrams(page).items():
        page = page.replace(f"```mermaid\n{source}```", f"![Diagram]({name})")
    return page
