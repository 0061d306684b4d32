"""The content of a pipeline file: an error has file, line, key, what is allowed, and the most similar name."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.builtin_pipelines import builtin_pipelines
from compress.configuration.config import Encode, Stage, read_pipeline
from compress.data.digits import Digits
from compress.data.folder import Folder
from compress.data.samples import Samples
from compress.errors import ConfigError
from compress.evaluation.goals import Goal
from compress.passes import Distill, Prune, Share
from compress.passes.prune import LayerPruning
from compress.weights.embedded_weights import EmbeddedWeights
from compress.weights.squeezenet_weights import CheckpointWeights


def test_all_sections_are_read(read, whole):
    pipeline = read(whole)
    assert pipeline.name == "p"
    assert pipeline.description == "A pipeline with every kind of value. In two lines."
    assert pipeline.seed == 3
    assert pipeline.model == EmbeddedWeights()
    assert pipeline.calibration == Samples(count=4)
    assert pipeline.validation == Folder(Path("photos"), limit=10)
    assert pipeline.stages == (
        Stage("prune", Prune(sparsity=0.5, layers={"3x3": LayerPruning(sensitivity=0.7)})),
        Stage("share", Share(bits=5, layers={"classifier.1.weight": 4})),
        Stage("again", Distill(steps=3)),
    )
    assert pipeline.encode == Encode("huffman")
    assert pipeline.goal == Goal(bytes=500_000, max_top1_drop=1.5)


@pytest.mark.parametrize("text", ["{}", "stages:\ndata:\n", "stages: []\ngoal: {}\nencode: {}\nmodel:\n"])
def test_missing_sections_have_defaults(read, text):
    pipeline = read(text)
    assert (pipeline.model, pipeline.calibration, pipeline.validation) == (EmbeddedWeights(), Samples(), Samples())
    assert (pipeline.stages, pipeline.goal, pipeline.encode, pipeline.seed) == ((), Goal(), Encode(), 0)


def test_quoted_words_are_text_and_an_override_is_checked_too(read):
    text = "model: {factory: 'a:b', args: {norm: 'no', words: on time}}"
    assert read(text).model.args == {"norm": "no", "words": "on time"}
    for override in ("model.args.norm=no", "model.args={norm: no}"):
        with pytest.raises(
            ConfigError, match=r"--set: model\.args\.norm: no is text in YAML 1\.2; write true or false"
        ):
            read(text, override)


def test_a_pass_can_repeat_under_another_name(read):
    stages = read("stages: [{pass: distill}, {pass: distill, name: second}]").stages
    assert [stage.name for stage in stages] == ["distill", "second"]


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("500000", 500_000), ("500 kB", 500_000), ("500kb", 500_000), ("0.5 MB", 500_000), ("5e5", 500_000),
     ("'600,000'", 600_000), ("7 B", 7), ("1GB", 10**9), ("500_000", 500_000), ("460 KiB", 471_040)],
)  # fmt: skip
def test_bytes_can_have_a_unit(read, text, bytes_):
    assert read(f"goal: {{bytes: {text}}}").goal.bytes == bytes_


@pytest.mark.parametrize(
    "text",
    ["500 TiB", "'0,47 MB'", "'1,5'", "'1,2,3'", "-1", "0", "0.2", "many", "true", "[1]", "1.5", "1e400", ".nan"],
)
def test_invalid_bytes_are_refused(fault, text):
    assert "p.yaml:1: goal.bytes: " in fault(f"goal: {{bytes: {text}}}")


@pytest.mark.parametrize("text", ["500.000", "1.000", "'500.000'", "500.000 B"])
def test_a_point_that_may_separate_thousands_is_refused_with_the_cure(fault, text):
    assert "is no number of bytes: a point separates decimals, not thousands; write 500000" in fault(
        f"stages: [{{pass: quantize, bytes: {text}}}]"
    )


def test_null_written_out_is_the_default(read):
    pipeline = read("data: {calibration: null, validation: {source: digits, limit: ~}}", "goal.bytes=null")
    assert (pipeline.calibration, pipeline.validation, pipeline.goal.bytes) == (Samples(), Digits(), None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # unknown keys
        ("sed: 1", "p.yaml:1: sed: unknown key; did you mean 'seed'? (allowed: model, data, stages, encode, goal,"),
        ("\ndata:\n  valid: {}", "p.yaml:3: data.valid: unknown key; did you mean 'validation'? (allowed: "),
        (
            "data: {calibrate: {}}",
            "data.calibrate: unknown key; did you mean 'calibration'? (allowed: calibration, validation)",
        ),
        ("goal:\n  byte: 5", "p.yaml:2: goal.byte: unknown key; did you mean 'bytes'? (allowed: bytes, max_top1_drop,"),
        ("encode:\n  codec: raw", "p.yaml:2: encode.codec: unknown key (allowed: coding, labels, target)"),
        (
            "stages:\n- pass: prune\n  sparsty: 0.5",
            "p.yaml:3: stages.0.sparsty: unknown key of pass 'prune'; did you mean 'sparsity'? (allowed: pass, name, ",
        ),
        (
            "stages:\n- pass: prune\n  sparsity: 0.5\n  layers:\n    3x3: {sparsty: 1}",
            "p.yaml:5: stages.0.layers.3x3.sparsty: unknown key; did you mean 'sparsity'? (allowed: sparsity, sens",
        ),
        ("model: {shape: x}", "p.yaml:1: model.shape: unknown key of source 'embedded' (allowed: source)"),
        (
            "data: {validation: {path: x}}",
            "p.yaml:1: data.validation.path: unknown key of source 'samples', as no other is named; source folder or "
            "idx has it (allowed: source, count)",
        ),
        ("model: {classes: 10}", "unknown key of source 'embedded', as no other is named; source random has it"),
        ("bytes: 500kB", "p.yaml:1: bytes: unknown key; this key belongs in goal or a stage of pass share or a stage"),
        ("prune: {sparsity: 0.5}", "p.yaml:1: prune: unknown key; a pass is an entry of stages, '- pass: prune'"),
        ("validation: {source: samples}", "p.yaml:1: validation: unknown key; this key belongs in data (allowed: mod"),
        (
            "data:\n  validation:\n    source: digits\n    count: 5",
            "p.yaml:4: data.validation.count: unknown key of source 'digits' (allowed: source, limit)",
        ),
        # unknown passes and sources
        ("stages: [{pass: prnue}]", "stages.0.pass: unknown pass 'prnue'; did you mean 'prune'? (allowed: simplify,"),
        ("stages:\n- bits: 5", "p.yaml:2: stages.0: the key 'pass' is missing (allowed: simplify, prune,"),
        ("stages:\n- prune:\n    sparsity: 0.5", "the key 'pass' is missing; did you mean 'prune'?"),
        ("stages: [prune]", "stages.0: 'prune' instead of a mapping of keys (allowed: 'pass: NAME' and its opt"),
        ("stages: {pass: prune}", "p.yaml:1: stages: not a list (allowed: a list of passes, each starting with"),
        ("stages:\n-\n", "p.yaml:2: stages.0: empty instead of a mapping of keys"),
        ("model: {source: torchvison}", "unknown source 'torchvison'; did you mean 'torchvision'? (allowed: emb"),
        ("data: {validation: {source: [a]}}", "data.validation.source: unknown source ['a']"),
        ("data: {validation: digits}", "data.validation: 'digits' instead of a mapping of keys"),
        ("data: [1]", "p.yaml:1: data: a list instead of a mapping of keys"),
        ("goal: 500 kB", "p.yaml:1: goal: '500 kB' instead of a mapping of keys"),
        # wrong types
        ("seed: one", "p.yaml:1: seed: cannot be 'one' (allowed: a whole number, at least 0, below 4,294,967,296)"),
        ("seed: true", "p.yaml:1: seed: cannot be true (allowed: a whole number"),
        ("seed: 1.5", "p.yaml:1: seed: cannot be 1.5 (allowed: a whole number"),
        ("seed: '5'", "p.yaml:1: seed: cannot be '5' (allowed: a whole number"),
        ("seed:", "p.yaml:1: seed: cannot be empty (allowed: a whole number"),
        ("seed: [1]", "p.yaml:1: seed: cannot be a list (allowed: a whole number"),
        ("stages: [{pass: share, bits: {a: 1}}]", "stages.0.bits: cannot be a mapping (allowed: a whole number, 1 to"),
        ("stages: [{pass: share, layers: [1]}]", "stages.0.layers: cannot be a list (allowed: a mapping of keys)"),
        ("stages: [{pass: share, layers: {1x1: x}}]", "stages.0.layers.1x1: cannot be 'x' (allowed: a whole number, 1"),
        ("stages: [{pass: prune, sparsity: '0.5'}]", "stages.0.sparsity: cannot be '0.5' (allowed: a number, 0 to 1)"),
        # impossible values
        ("seed: -1", "p.yaml:1: seed: cannot be -1"),
        ("seed: 4294967296", "p.yaml:1: seed: cannot be 4294967296"),
        ("stages:\n- pass: share\n  bits: 0", "p.yaml:3: stages.0.bits: cannot be 0 (allowed: a whole number, 1 to"),
        ("stages:\n- pass: prune\n  sparsity: 1.5", "p.yaml:3: stages.0.sparsity: cannot be 1.5 (allowed: a number, 0"),
        ("stages: [{pass: prune, sparsity: .nan}]", "stages.0.sparsity: "),
        ("stages:\n- pass: prune", "p.yaml:2: stages.0: give exactly one of sparsity, sensitivity and nonzero_weights"),
        (
            "stages: [{pass: prune, sparsity: 0.5, sensitivity: 1}]",
            "stages.0: give exactly one of sparsity, sensitivity and nonzero_weights",
        ),
        ("stages: [{pass: share, init: kmeans++}]", "stages.0.init: cannot be 'kmeans++'; did you mean 'k-means++'?"),
        ("encode: {coding: hufman}", "encode.coding: cannot be 'hufman'; did you mean 'huffman'? (allowed: huffman, "),
        ("goal: {min_agreement: 99}", "goal.min_agreement: cannot be 99 (allowed: a number, 0 to 1)"),
        ("goal: {max_top1_drop: -1}", "goal.max_top1_drop: cannot be -1 (allowed: a number, 0 to 100)"),
        ("goal: {max_divergence: .inf}", "goal.max_divergence: cannot be inf (allowed: a number, at least 0)"),
        ("data: {validation: {source: digits, limit: 0}}", "data.validation.limit: cannot be 0 (allowed: a whole numb"),
        ("stages: [{pass: quantize, bytes: smalest}]", "stages.0.bytes: cannot be 'smalest'; did you mean 'smallest'?"),
        (
            "stages:\n- {pass: quantize, bytes: smallest}\ngoal: {bytes: 9}",
            "p.yaml:2: stages.0.bytes: smallest needs a limit on quality in the section goal (allowed: max_top1_drop,",
        ),
        (
            "data:\n  calibration: {source: folder, path: a, validation_split: 0.2}\n"
            "  validation: {source: folder, path: b}",
            "p.yaml:2: data.calibration.validation_split: data.calibration has the split 0.2, and data.validation all",
        ),
        (
            "data:\n  calibration: {source: folder, path: a, validation_split: 0.2}\n"
            "  validation: {source: folder, path: a, validation_split: 0.25}",
            "p.yaml:3: data.validation.validation_split: data.calibration has the split 0.2, and data.validation 0.25",
        ),
        ("data: {validation: {source: folder, path: ''}}", "p.yaml:1: data.validation.path: the path is empty; '.' is"),
        ("data: {validation: {source: folder, path: [a, '']}}", "data.validation.path.1: the path is empty"),
        ("data: {validation: {source: folder, path: a, label_column: ''}}", "validation.label_column: cannot be ''"),
        ("model: {factory: 'a:b', checkpoint: ''}", "p.yaml:1: model.checkpoint: the path is empty"),
        ("model: {factory: 'a:b', checkpoint_key: ''}", "model.checkpoint_key: cannot be '' (allowed: text)"),
        ("data: {validation: {source: folder, path: []}}", "path: cannot be a list (allowed: text or a list of"),
        (
            "model: {factory: 'a:b', preprocessing: {height: 8, width: 8, channels: L, mean: [0, 0], std: [1, 1]}}",
            "p.yaml:1: model.preprocessing: mean and std need one number for each channel of L",
        ),
        # words that are true as text
        ("model:\n  factory: 'a:b'\n  args: {norm: no}", "p.yaml:3: model.args.norm: no is text in YAML 1.2; write"),
        ("model: {factory: 'a:b', args: {norms: [{last: Off}]}}", "model.args.norms.0.last: Off is text in YAML 1.2"),
        # keys that are no text
        ("model: {factory: 'a:b', args: {widths: [{1: 8, '1': 4}]}}", "p.yaml:1: model: the key 1 is not text; put it"),
        ("model: {factory: 'a:b', args: {widths: {false: 8}}}", "p.yaml:1: model: the key False is not text"),
        # no values, as templates leave them
        ("model:\n  factory: a:b\n  checkpoint:\n", "p.yaml:3: model.checkpoint: no value; check for an unset v"),
        ("data:\n  calibration:\nseed: 1", "p.yaml:2: data.calibration: no value"),
        ("report:\ngoal:\n  bytes:\n", "p.yaml:3: goal.bytes: no value"),
        ("stages: [{pass: share, layers: {1x1: }}]", "p.yaml:1: stages.0.layers.1x1: no value"),
        ("stages: [{pass: prune, sparsity: 0,5}]", "p.yaml:1: stages.0.5: no value; a comma ends a value, so"),
        # missing keys
        ("data:\n  validation:\n    source: folder", "p.yaml:2: data.validation.path: this key is missing"),
        (
            "model: {source: checkpoint, path: a.pth}",
            "model.architecture: this key is missing (allowed: squeezenet1_0, squeezenet1_1)",
        ),
        # names of stages
        ("stages: [{pass: distill}, {pass: distill}]", "stages.1.name: another stage is named 'distill'; give this"),
        ("stages: [{pass: distill, name: proof}]", "stages.0.name: the name 'proof' is reserved"),
        ("stages: [{pass: distill, name: 'a.b'}]", "stages.0.name: 'a.b' is not a name for a stage (allowed: a let"),
        ("stages: [{pass: distill, name: 5}]", "stages.0.name: 5 is not a name for a stage"),
    ],
)  # fmt: skip
def test_an_error_has_its_place_and_what_is_allowed(fault, text, message):
    assert message in fault(text)


def test_an_unknown_key_is_reported_before_the_missing_one_that_it_explains(fault):
    assert "data.validation.pth: unknown key" in fault("data: {validation: {source: folder, pth: photos}}")


def test_an_error_has_file_line_and_key_as_attributes(read):
    with pytest.raises(ConfigError) as caught:
        read("seed: 1\nstages:\n  - pass: share\n    bits: 13\n")
    assert (caught.value.file.name, caught.value.line, caught.value.key) == ("p.yaml", 4, "stages.0.bits")


def test_a_long_value_is_shortened(fault):
    assert len(fault(f"seed: {'x' * 5000}")) < 250


def test_the_configuration_keeps_long_lines(read):
    layers = ", ".join(f"features.{index}.squeeze.weight: {index}" for index in (3, 4, 6, 7))
    line = f"  - {{pass: share, bits: 5, name: shared, init: density, kmeans_iterations: 10, layers: {{{layers}}}}}"
    assert line in read(f"seed: 1\nstages:\n{line}\n").configuration.splitlines()


def test_the_configuration_is_the_file_with_overrides_applied(read, whole):
    configuration = read(whole, "stages.share.bits=3", "data.validation.limit=5").configuration
    again = read(configuration)
    assert again.stages[1].pass_ == Share(bits=3, layers={"classifier.1.weight": 4})
    assert again.validation == Folder(Path("photos"), limit=5)
    assert again.description.startswith("A pipeline with every")


@pytest.mark.parametrize("name", builtin_pipelines())
def test_every_builtin_pipeline_is_valid_and_described(name):
    pipeline = read_pipeline(builtin_pipelines()[name])
    assert pipeline.name == name
    assert pipeline.stages
    assert pipeline.goal.bytes
    assert "minutes" in pipeline.description


def test_a_source_is_selected_by_name(read):
    text = "model: {source: checkpoint, path: a.pth, architecture: squeezenet1_0}\ndata: {validation: {source: digits}}"
    pipeline = read(text)
    assert pipeline.model == CheckpointWeights("a.pth", "squeezenet1_0")
    assert pipeline.validation == Digits()
