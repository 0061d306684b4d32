"""The commands and Python examples of a page, in their order.

Commands are in fences with the language `sh`, and in indented blocks that begin with a program. Python is in fences
with the language `python`. A comment before a block, `<!-- not run: REASON -->`, says why the tests do not run it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NOT_RUN = r"(?:^<!-- not run: (?P<reason>\S[^\n]*) -->\n+)?"
_FENCED = r"^(?P<margin> *)```(?P<language>\w*)[^\n]*\n(?P<fenced>.*?)^ *```$"
_INDENTED = r"(?P<indented>^ {4}(?:make|pip|python|squeeze-compress|torchrun) [^\n]*(?:\n {4}[^\n]*)*)"
_BLOCK = re.compile(f"{_NOT_RUN}(?:{_FENCED}|{_INDENTED})", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        language: `sh` or `python`.
        reason: why it is not run; None: it is run.
    """

    language: str
    text: str
    reason: str | None


def read_blocks(page: str) -> Iterator[Block]:
    """Yield the commands and Python examples of a page."""
    for found in _BLOCK.finditer(page):
        language = "sh" if found["indented"] else found["language"]
        lines = (found["indented"] or found["fenced"]).splitlines()
        margin = 4 if found["indented"] else len(found["margin"])
        if language in ("sh", "python"):
            yield Block(language, "".join(f"{line[margin:]}\n" for line in lines), found["reason"])


def command_lines(block: str) -> Iterator[str]:
    """Yield each command of a `sh` block with its continued lines and its here-document."""
    lines = iter(block.splitlines())
    for line in lines:
        command = line
        while command.endswith("\\"):
            command = command[:-1] + next(lines)
        if heredoc := re.search(r"<<'(\w+)'$", command):
            while not command.endswith(f"\n{heredoc[1]}"):
                command += f"\n{next(lines)}"
        if command.strip() and not command.startswith("#"):
            yield command
