"""The content of a pipeline file, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from compress.builtin_pipelines import first_comment
from compress.configuration.key_paths import Key, stage_name
from compress.configuration.renamed_keys import suggestion
from compress.configuration.schema_errors import option_names, unknown_key, validate
from compress.configuration.search_space import SearchParameter, read_search
from compress.configuration.yaml_document import SECTIONS, Document, read_document
from compress.data.collect import PhotoSource
from compress.data.sources import SOURCES as PHOTO_SOURCES
from compress.errors import nearest
from compress.evaluation.goals import Goal
from compress.passes import PASSES, Pass
from compress.runtime.option_types import OPTIONS
from compress.weights.weight_sources import SOURCES as WEIGHTS_SOURCES
from compress.weights.weight_sources import WeightSource, source_name

_ROLES = ("calibration", "validation")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED_NAMES = ("baseline", "encode", "proof")
_CODECS: Mapping[str, tuple[str, ...] | None] = {
    "huffman": ("huffman", "huffman-runs"),
    "context": None,
    "raw": ("raw",),
}
"""Names of the codecs by `coding`; None: all."""


@dataclass(frozen=True, config=OPTIONS)
class Encode:
    """How the file is coded.

    Attributes:
        coding: `huffman` codes the indices of each tensor densely or as zero runs, whichever is smaller; `context`
            takes the smallest of all codecs for each tensor and also codes float values; `raw` packs bits.
        labels: `stored` writes the class names of the weights into the file.
        target: `microcontroller` keeps the memory of the reader in C small: layers are in row-major order, so that a
            network runs from the file a few filters at a time, `context` codes without prediction, float values are
            plain, and a layer whose tables exceed 62 kB takes another scan order or codec.
    """

    coding: Literal["huffman", "context", "raw"] = "huffman"
    labels: Literal["stored", "none"] = "stored"
    target: Literal["any", "microcontroller"] = "any"

    @property
    def codecs(self) -> tuple[str, ...]:
        """Names of the allowed codecs."""
        from compress.codecs import CODECS  # noqa: PLC0415  compiles their loops

        suffix = "-small" if self.target == "microcontroller" else ""
        return tuple(f"{name}{suffix}" for name in _CODECS[self.coding] or CODECS)


@dataclass(frozen=True, config=OPTIONS)
class ReportOptions:
    """What the report shows.

    Attributes:
        photos: whether validation photos appear, as thumbnails and by name; `false` for private photos.
    """

    photos: bool = True


@plain_dataclass(frozen=True)
class Stage:
    """A pass with a name."""

    name: str
    pass_: Pass


@plain_dataclass(frozen=True)
class Pipeline:
    """The content of a pipeline file.

    Attributes:
        name: the file name without its suffix.
        description: the first comment of the file.
        seed: of all random choices.
        model: source of the float weights.
        calibration: source of the photos that passes use.
        validation: source of the photos that measure each stage.
        stages: in order.
        encode: how the file is coded.
        goal: limits on the result.
        report: what the report shows.
        search: the values that `squeeze-compress search` chooses; a run ignores them.
        document: the YAML file, overrides applied.
    """

    name: str
    description: str
    seed: int
    model: WeightSource
    calibration: PhotoSource
    validation: PhotoSource
    stages: tuple[Stage, ...]
    encode: Encode
    goal: Goal
    report: ReportOptions
    search: tuple[SearchParameter, ...]
    document: Document = field(compare=False, repr=False)

    @property
    def configuration(self) -> str:
        """The file as YAML, overrides applied."""
        return self.document.dump()

    @property
    def goal_out_of_reach(self) -> str:
        """Which stage aims at a larger file than the goal allows; empty: none does."""
        limits = [(limit, stage.name) for stage in self.stages if (limit := stage.pass_.max_file_bytes)]
        if not limits or self.goal.bytes is None or min(limits)[0] <= self.goal.bytes:
            return ""
        limit, name = min(limits)
        return (
            f"stages.{name}.bytes is {limit:,} and goal.bytes {self.goal.bytes:,}: the stage fills its bytes, so the "
            "file will probably miss the goal; change both"
        )

    def with_overrides(self, overrides: Iterable[str]) -> Pipeline:
        """Return the pipeline with more values replaced; its section `search` is unchanged.

        Raises:
            ConfigError: a value is not allowed.
        """
        return _build(self.document.with_overrides(overrides), self.search)


def read_pipeline(file: Path, overrides: Iterable[str] = ()) -> Pipeline:
    """Read and check a pipeline file.

    Args:
        file: YAML; its paths are relative to the working directory.
        overrides: `KEY=VALUE` with a dotted key; each replaces one value of the file.
    Raises:
        ConfigError: says file, line, key, what is allowed and the most similar allowed name.
    """
    return parse_pipeline(read_document(file, overrides))


def parse_pipeline(document: Document) -> Pipeline:
    """Check a document and return its pipeline; see `read_pipeline`."""
    pipeline = _build(document, ())
    return replace(pipeline, search=read_search(document, lambda changed: _build(changed, ())))


def options_of(pass_: Pass) -> dict[str, object]:
    """Return all options of a pass as JSON values, by their keys in a pipeline file."""
    adapter: TypeAdapter[Any] = TypeAdapter(type(pass_))
    options: dict[str, object] = adapter.dump_python(pass_, mode="json", by_alias=True)
    return options


def _build(document: Document, search: tuple[SearchParameter, ...]) -> Pipeline:
    """Check all sections of a document but `search`, and return the pipeline."""
    _check_keys(document, [], SECTIONS)
    _check_keys(document, ["data"], _ROLES)
    model = _mapping(document, ["model"])
    pipeline = Pipeline(
        name=document.file.stem,
        description=first_comment(document.text),
        seed=validate(document, ["seed"], Annotated[int, Field(ge=0, lt=2**32)], document.root.get("seed", 0)),
        model=_select(document, ["model"], "source", WEIGHTS_SOURCES, source_name(model)),
        calibration=_select(document, ["data", "calibration"], "source", PHOTO_SOURCES, "samples"),
        validation=_select(document, ["data", "validation"], "source", PHOTO_SOURCES, "samples"),
        stages=_stages(document),
        encode=validate(document, ["encode"], Encode, _mapping(document, ["encode"])),
        goal=validate(document, ["goal"], Goal, _mapping(document, ["goal"])),
        report=validate(document, ["report"], ReportOptions, _mapping(document, ["report"])),
        search=search,
        document=document,
    )
    _check_goal(pipeline)
    _check_split(pipeline)
    return pipeline


def _check_keys(document: Document, keys: Sequence[Key], allowed: Sequence[str]) -> None:
    for key in _mapping(document, keys):
        if key not in allowed:
            raise unknown_key(document, [*keys, key], allowed, place="" if keys else _right_place(key))


def _right_place(key: str) -> str:
    """Return where a key belongs that is written beside the sections; empty: unknown."""
    if key in PASSES:
        return f"a pass is an entry of stages, '- pass: {key}'"
    sections = {"data": _ROLES} | {
        name: option_names(kind) for name, kind in (("encode", Encode), ("goal", Goal), ("report", ReportOptions))
    }
    places = [name for name, keys in sections.items() if key in keys]
    places += [f"a stage of pass {name}" for name, kind in PASSES.items() if key in option_names(kind)]
    return f"this key belongs in {' or '.join(places)}" if places else ""


def _stages(document: Document) -> tuple[Stage, ...]:
    given = document.root.get("stages")
    if given is None:
        return ()
    if not isinstance(given, list):
        raise document.error(["stages"], "not a list", "a list of passes, each starting with '- pass: NAME'")
    stages: list[Stage] = []
    for index in range(len(given)):
        pass_: Pass = _select(document, ["stages", index], "pass", PASSES, None, also=("pass", "name"))
        stages.append(Stage(_stage_name(document, index, {stage.name for stage in stages}), pass_))
    return tuple(stages)


def _check_goal(pipeline: Pipeline) -> None:
    for index, stage in enumerate(pipeline.stages):
        if stage.pass_.needs_goal and not pipeline.goal.limits_quality:
            problem = "smallest needs a limit on quality in the section goal"
            allowed = "max_top1_drop, max_top5_drop, min_agreement, max_divergence or max_relative_mse"
            raise pipeline.document.error(["stages", index, "bytes"], problem, allowed)


def _check_split(pipeline: Pipeline) -> None:
    """Check that validation takes the photos that calibration leaves; otherwise nobody uses some, or both do."""
    calibration, validation = (
        getattr(source, "validation_split", None) for source in (pipeline.calibration, pipeline.validation)
    )
    if calibration != validation:
        own, other = ("all photos" if split is None else f"{split:.4g}" for split in (calibration, validation))
        problem = f"data.calibration has the split {own}, and data.validation {other}"
        role = "calibration" if validation is None else "validation"
        allowed = "the same path and fraction in both, or no validation_split"
        raise pipeline.document.error(["data", role, "validation_split"], problem, allowed)


def _stage_name(document: Document, index: int, taken: set[str]) -> str:
    keys: list[Key] = ["stages", index, "name"]
    name = stage_name(document.at(keys[:2]))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        allowed = "a letter, then letters, digits, '_' and '-'"
        raise document.error(keys, f"{name!r} is not a name for a stage", allowed)
    if name in _RESERVED_NAMES:
        raise document.error(keys, f"the name {name!r} is reserved; give this stage another 'name'")
    if name in taken:
        raise document.error(keys, f"another stage is named {name!r}; give this stage another 'name'")
    return name


def _mapping(document: Document, keys: Sequence[Key], allowed: str | None = None) -> Mapping[str, Any]:
    """Return the mapping at a path; an empty one if the path is missing or has no value."""
    node: Any = document.root
    for depth, key in enumerate(keys):
        in_list = isinstance(node, list)
        node = node[key] if in_list or key in node else None
        if node is None and not in_list:
            return {}
        if not isinstance(node, Mapping | list) or (depth == len(keys) - 1 and isinstance(node, list)):
            shown = "empty" if node is None else "a list" if isinstance(node, list) else repr(node)
            raise document.error(keys[: depth + 1], f"{shown} instead of a mapping of keys", allowed)
    assert isinstance(node, Mapping)
    return node


def _select(
    document: Document,
    keys: Sequence[Key],
    selector: str,
    kinds: Mapping[str, type[Any]],
    default: str | None,
    also: Sequence[str] = (),
) -> Any:
    """Return the dataclass that the key `selector` (`source`, `pass`) names, made from the other keys of the mapping.

    Without `default` the key is required. The keys `also` are no options of the dataclass.
    """
    options = dict(_mapping(document, keys, f"'{selector}: NAME' and its options; NAME is one of {', '.join(kinds)}"))
    kind = options.pop(selector, default)
    if kind is None:
        similar = next((nearest(str(key), kinds) or nearest(str(key), [selector]) for key in options), "")
        raise document.error(keys, f"the key {selector!r} is missing{similar}", ", ".join(kinds))
    if not isinstance(kind, str) or kind not in kinds:
        place = [*keys, selector]
        instead = suggestion(document.root, place, str(kind), kinds)
        raise document.error(place, f"unknown {selector} {kind!r}{instead}", ", ".join(kinds))
    for key in also:
        options.pop(key, None)
    if selector not in _mapping(document, keys):
        _check_default(document, keys, selector, kinds, kind, options)
    return validate(document, keys, kinds[kind], options, also or (selector,), f"{selector} {kind!r}")


def _check_default(
    document: Document,
    keys: Sequence[Key],
    selector: str,
    kinds: Mapping[str, type[Any]],
    kind: str,
    options: Iterable[str],
) -> None:
    """Refuse the options of another kind than the default: a forgotten selector is named."""
    own = option_names(kinds[kind])
    for key in (key for key in options if key not in own):
        if others := [name for name, each in kinds.items() if key in option_names(each)]:
            owner, place = f"{selector} {kind!r}, as no other is named", f"{selector} {' or '.join(others)} has it"
            raise unknown_key(document, [*keys, key], (selector, *own), owner, place)
