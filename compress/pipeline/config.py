"""What a pipeline file may say, and what it means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from compress.builtin_pipelines import first_comment
from compress.data.sources import SOURCES as PHOTO_SOURCES
from compress.data.sources import Source
from compress.errors import nearest
from compress.evaluation.goals import Goal
from compress.networks.weight_sources import SOURCES as WEIGHTS_SOURCES
from compress.networks.weight_sources import WeightsSource, source_meant
from compress.passes import PASSES, Pass
from compress.pipeline.schema_errors import checked, unknown_key
from compress.pipeline.search_space import Searchable, read_search
from compress.pipeline.yaml_document import Document, Key, read_document, stage_name

_STRICT = ConfigDict(extra="forbid")
_TOP_KEYS = ("model", "data", "stages", "encode", "goal", "search", "seed")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_OWN_NAMES = ("baseline", "proof")
_CODECS = {
    "huffman": ("huffman", "huffman-runs"),
    "ans": ("ans", "huffman", "huffman-runs"),
    "context": ("context", "ans", "huffman", "huffman-runs", "raw"),
    "raw": ("raw",),
}


@dataclass(frozen=True, config=_STRICT)
class Encode:
    """How the file is coded.

    Attributes:
        coding: `huffman` codes each tensor's indices densely or as zero runs, whichever is smaller; `raw` packs bits;
            `ans` takes the smaller of Huffman's and of asymmetric numeral systems; `context` takes the smallest of all
            and of adaptive arithmetic coding, and codes float values too.
        labels: whether the class names that came with the weights go into the file.
    """

    coding: Literal["huffman", "ans", "context", "raw"] = "huffman"
    labels: Literal["stored", "none"] = "stored"

    @property
    def codecs(self) -> tuple[str, ...]:
        """The codecs that may be used, by name."""
        return _CODECS[self.coding]


@plain_dataclass(frozen=True)
class Stage:
    """A pass under a name."""

    name: str
    step: Pass


@plain_dataclass(frozen=True)
class Pipeline:
    """A whole run, checked.

    Attributes:
        name: the file's name without its ending.
        description: the file's first comment, its marks taken off.
        seed: every random choice derives from it.
        model: where the float weights come from.
        calibration: where the photos that passes look at come from.
        validation: where the photos that judge them come from.
        stages: in order.
        encode: how the file is coded.
        goal: what it must reach.
        search: what `squeeze-compress search` may choose; a run takes no notice of it.
        document: the file, overrides applied.
    """

    name: str
    description: str
    seed: int
    model: WeightsSource
    calibration: Source
    validation: Source
    stages: tuple[Stage, ...]
    encode: Encode
    goal: Goal
    search: tuple[Searchable, ...]
    document: Document = field(compare=False, repr=False)

    @property
    def configuration(self) -> str:
        """The file as YAML, overrides applied."""
        return self.document.dump()

    def with_overrides(self, overrides: Iterable[str]) -> Pipeline:
        """Return the pipeline with more values replaced, as `read_pipeline` would; its section `search` stays as it is.

        Raises:
            ConfigError: a value cannot be.
        """
        return _built(self.document.with_overrides(overrides), self.search)


def read_pipeline(file: Path, overrides: Iterable[str] = ()) -> Pipeline:
    """Read and check a pipeline file.

    Args:
        file: YAML; paths in it are relative to the folder where the program runs.
        overrides: `KEY=VALUE` with a dotted key, each replacing one value of the file.
    Raises:
        ConfigError: says file, line, key, what is allowed and the nearest right name.
    """
    document = read_document(file, overrides)
    pipeline = _built(document, ())
    return replace(pipeline, search=read_search(document, lambda changed: _built(changed, ())))


def _built(document: Document, search: tuple[Searchable, ...]) -> Pipeline:
    """Return what a document says, all of it checked but its section `search`."""
    root = document.root
    for key in root:
        if key not in _TOP_KEYS:
            raise unknown_key(document, [key], _TOP_KEYS)
    data = _mapping(document, ["data"])
    for key in data:
        if key not in ("calibration", "validation"):
            raise unknown_key(document, ["data", key], ("calibration", "validation"))
    return Pipeline(
        name=document.file.stem,
        description=first_comment(document.text),
        seed=checked(document, ["seed"], Annotated[int, Field(ge=0, lt=2**32)], root.get("seed", 0)),
        model=_chosen(document, ["model"], "source", WEIGHTS_SOURCES, source_meant(_mapping(document, ["model"]))),
        calibration=_chosen(document, ["data", "calibration"], "source", PHOTO_SOURCES, "samples"),
        validation=_chosen(document, ["data", "validation"], "source", PHOTO_SOURCES, "samples"),
        stages=_stages(document),
        encode=checked(document, ["encode"], Encode, _mapping(document, ["encode"])),
        goal=checked(document, ["goal"], Goal, _mapping(document, ["goal"])),
        search=search,
        document=document,
    )


def _stages(document: Document) -> tuple[Stage, ...]:
    given = document.root.get("stages")
    if given is None:
        return ()
    if not isinstance(given, list):
        raise document.error(["stages"], "not a list", "a list of passes, each of them begun with '- pass: NAME'")
    stages: list[Stage] = []
    for place, item in enumerate(given):
        keys: list[Key] = ["stages", place]
        step: Pass = _chosen(document, keys, "pass", PASSES, None, also=("pass", "name"))
        name = stage_name(item)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            allowed = "a letter, then letters, digits, '_' and '-'"
            raise document.error([*keys, "name"], f"a stage cannot be named {name!r}", allowed)
        if name in _OWN_NAMES:
            raise document.error([*keys, "name"], f"every run has a {name} of its own; give this stage another name")
        if name in {stage.name for stage in stages}:
            raise document.error([*keys, "name"], f"a stage is named {name!r} already; give this one another 'name'")
        stages.append(Stage(name, step))
    return tuple(stages)


def _mapping(document: Document, keys: Sequence[Key], allowed: str | None = None) -> Mapping[str, Any]:
    """Return the mapping at these keys; empty where the file has none, or nothing below the key."""
    node: Any = document.root
    for depth, key in enumerate(keys):
        in_a_list = isinstance(node, list)
        node = node[key] if in_a_list or key in node else None
        if node is None and not in_a_list:
            return {}
        if not isinstance(node, Mapping | list) or (depth == len(keys) - 1 and isinstance(node, list)):
            shown = "nothing" if node is None else "a list" if isinstance(node, list) else repr(node)
            raise document.error(keys[: depth + 1], f"{shown}, where a mapping of keys belongs", allowed)
    assert isinstance(node, Mapping)
    return node


def _chosen(
    document: Document,
    keys: Sequence[Key],
    selector: str,
    kinds: Mapping[str, type[Any]],
    default: str | None,
    also: Sequence[str] = (),
) -> Any:
    """Build the dataclass that the key `selector` names, from the other keys of the mapping."""
    options = dict(_mapping(document, keys, f"'{selector}: NAME' and its options; NAME is one of {', '.join(kinds)}"))
    kind = options.pop(selector, default)
    if kind is None:
        likely = next((nearest(str(key), kinds) or nearest(str(key), [selector]) for key in options), "")
        raise document.error(keys, f"the key {selector!r} is missing{likely}", ", ".join(kinds))
    if not isinstance(kind, str) or kind not in kinds:
        raise document.error([*keys, selector], f"no {selector} {kind!r}{nearest(str(kind), kinds)}", ", ".join(kinds))
    for key in also:
        options.pop(key, None)
    return checked(document, keys, kinds[kind], options, also or (selector,), f"{selector} {kind!r}")
