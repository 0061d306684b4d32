"""What a pipeline file may say, and what it means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from compress.data.sources import SOURCES as PHOTO_SOURCES
from compress.data.sources import Source
from compress.errors import ConfigError, nearest
from compress.networks.pretrained import SOURCES as WEIGHTS_SOURCES
from compress.networks.pretrained import WeightsSource
from compress.passes import PASSES, Pass
from compress.pipeline.document import Document, Key, read_document, stage_name
from compress.ready import first_comment

_STRICT = ConfigDict(extra="forbid")
_TOP_KEYS = ("model", "data", "stages", "encode", "goal", "seed")
_BYTES = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*(B|kB|KB|MB|GB)?\s*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

T = TypeVar("T")


def to_bytes(value: object) -> object:
    """Turn `500kB`, `0.5 MB` or `500000` into a number of bytes; anything else is left for the validation to refuse.

    Units are decimal: 1 kB is 1,000 bytes.
    """
    match = _BYTES.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    number = float(match[1].replace(",", "").replace("_", ""))
    return round(number * {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9}[match[2] or "B"])


Bytes = Annotated[int, BeforeValidator(to_bytes), Field(gt=0)]


@dataclass(frozen=True, config=_STRICT)
class Encode:
    """How the file is coded.

    Attributes:
        coding: `huffman` codes each tensor's indices densely or as zero runs, whichever is smaller; `raw` packs bits.
    """

    coding: Literal["huffman", "raw"] = "huffman"

    @property
    def codecs(self) -> tuple[str, ...]:
        """The codecs that may be used, by name."""
        return {"huffman": ("huffman", "huffman-runs"), "raw": ("raw",)}[self.coding]


@dataclass(frozen=True, config=_STRICT)
class Goal:
    """What the file must reach; what is not given is not asked.

    Attributes:
        bytes: of the file on disk, at most; a number, or one with a decimal unit (`500kB`).
        max_top1_drop: percentage points of top-1 below the float network, at most; needs labels.
        max_top5_drop: the same for top-5.
        min_agreement: share of photos with the float network's top-1, at least, 0 to 1.
        max_divergence: mean Kullback-Leibler divergence from the float network, at most, nats.
    """

    bytes: Bytes | None = None
    max_top1_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    max_top5_drop: Annotated[float, Field(ge=0, le=100)] | None = None
    min_agreement: Annotated[float, Field(ge=0, le=1)] | None = None
    max_divergence: Annotated[float, Field(ge=0)] | None = None

    @property
    def needs_labels(self) -> bool:
        """Whether it can be judged on labelled photos alone."""
        return self.max_top1_drop is not None or self.max_top5_drop is not None


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
        configuration: the file as YAML, overrides applied.
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
    configuration: str


def read_pipeline(file: Path, overrides: Iterable[str] = ()) -> Pipeline:
    """Read and check a pipeline file.

    Args:
        file: YAML; paths in it are relative to the folder where the program runs.
        overrides: `KEY=VALUE` with a dotted key, each replacing one value of the file.
    Raises:
        ConfigError: says file, line, key, what is allowed and the nearest right name.
    """
    document = read_document(file, overrides)
    root = document.root
    for key in root:
        if key not in _TOP_KEYS:
            raise document.unknown([key], _TOP_KEYS)
    data = _mapping(document, ["data"])
    for key in data:
        if key not in ("calibration", "validation"):
            raise document.unknown(["data", key], ("calibration", "validation"))
    return Pipeline(
        name=file.stem,
        description=first_comment(file.read_text("utf-8")),
        seed=_checked(document, ["seed"], Annotated[int, Field(ge=0, lt=2**32)], root.get("seed", 0)),
        model=_chosen(document, ["model"], "source", WEIGHTS_SOURCES, "embedded"),
        calibration=_chosen(document, ["data", "calibration"], "source", PHOTO_SOURCES, "samples"),
        validation=_chosen(document, ["data", "validation"], "source", PHOTO_SOURCES, "samples"),
        stages=_stages(document),
        encode=_checked(document, ["encode"], Encode, _mapping(document, ["encode"])),
        goal=_checked(document, ["goal"], Goal, _mapping(document, ["goal"])),
        configuration=document.dump(),
    )


def _stages(document: Document) -> tuple[Stage, ...]:
    given = document.root.get("stages", [])
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise document.error(["stages"], "not a list", "a list of passes, each a mapping with the key 'pass'")
    stages: list[Stage] = []
    for place, item in enumerate(given):
        keys: list[Key] = ["stages", place]
        step: Pass = _chosen(document, keys, "pass", PASSES, None, also=("name",))
        name = stage_name(item)
        if not _NAME.fullmatch(name):
            raise document.error([*keys, "name"], f"{name!r} is no name", "letters, digits, '_', '-' and '.'")
        if name in {"baseline", "proof"} or name in {stage.name for stage in stages}:
            raise document.error([*keys, "name"], f"a stage is named {name!r} already; give this one another 'name'")
        stages.append(Stage(name, step))
    return tuple(stages)


def _mapping(document: Document, keys: Sequence[Key]) -> Mapping[str, Any]:
    """Return the mapping at these keys; empty where the file has none."""
    node: Any = document.root
    for depth, key in enumerate(keys):
        node = node[key] if not isinstance(node, Mapping) or key in node else {}
        if not isinstance(node, Mapping | list):
            raise document.error(keys[: depth + 1], f"{node!r} is not a mapping of keys")
    if not isinstance(node, Mapping):
        raise document.error(keys, "not a mapping of keys")
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
    options = dict(_mapping(document, keys))
    kind = options.pop(selector, default)
    if kind is None:
        raise document.error(keys, f"the key {selector!r} is missing", ", ".join(kinds))
    if not isinstance(kind, str) or kind not in kinds:
        raise document.error([*keys, selector], f"no {selector} {kind!r}{nearest(str(kind), kinds)}", ", ".join(kinds))
    for key in also:
        options.pop(key, None)
    return _checked(document, keys, kinds[kind], options)


def _checked(document: Document, keys: Sequence[Key], kind: Any, value: object) -> Any:
    """Check a value against a type; the first fault becomes a `ConfigError` at its place."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise _first_fault(document, keys, kind, error) from error
    except ConfigError as error:
        raise document.error([*keys, *(error.key or "").split(".")], str(error)) from error


def _first_fault(document: Document, keys: Sequence[Key], kind: Any, error: ValidationError) -> ConfigError:
    # An unknown key explains a missing one, so it comes first.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] not in _UNKNOWN)
    fault = faults[0]
    path: list[Key] = [*keys, *_path_in_file(fault["loc"], document, keys)]
    if fault["type"] in _UNKNOWN:
        return document.unknown(path, getattr(kind, "__dataclass_fields__", {}))
    if fault["type"] == "missing":
        return document.error(path, "this key is missing")
    message = fault["msg"].removeprefix("Value error, ")
    shown = f" (it is {fault['input']!r})" if isinstance(fault["input"], str | int | float) else ""
    return document.error(path, f"{message[0].lower()}{message[1:]}{shown}")


_UNKNOWN = {"unexpected_keyword_argument", "extra_forbidden"}


def _path_in_file(loc: Sequence[Key], document: Document, keys: Sequence[Key]) -> list[Key]:
    """Keep of pydantic's path what the file has too: it names the members of unions as well."""
    node = document.at(keys)
    path: list[Key] = []
    for place, key in enumerate(loc):
        deeper = Document.child(node, key)
        if deeper is not None or place == 0:
            path.append(key)
            node = deeper
    return path
