"""The warm-start points of a search, from the sensitivities of its layers."""

from __future__ import annotations

from small_models import float_squeezenet

from compress.configuration.config import read_pipeline
from compress.search.sensitivity import LayerScan, Scan, Setting
from compress.search.warm_start import warm_start_points

PIPELINE = """\
stages:
  - {pass: prune, sparsity: 0.5, layers: {features.12.*: {sparsity: 0.5}}}
  - {pass: share, bits: 4}
  - {pass: distill, learning_rate: 0.03}
search:
  stages.prune.sparsity: {min: 0.5, max: 0.9}
  stages.prune.layers.features.12.*.sparsity: {min: 0.5, max: 0.9}
  stages.share.bits: [2, 4, 6]
  stages.distill.learning_rate: {min: 0.01, max: 0.1, log: true}
"""
SETTINGS = (Setting("prune", 0.5), Setting("prune", 0.7), Setting("prune", 0.9),
            Setting("share", 6), Setting("share", 4), Setting("share", 2))  # fmt: skip
PRUNED, BOTH, SHARED = (
    f"stages.{key}" for key in ("prune.layers.features.12.*.sparsity", "prune.sparsity", "share.bits")
)


def points(tmp_path, of_layer):
    (tmp_path / "p.yaml").write_text(PIPELINE)
    model = float_squeezenet()
    layers = tuple(
        LayerScan(name, model.tensors[name].to_dense().size, of_layer(name)) for name in model.weight_names()
    )
    return warm_start_points(read_pipeline(tmp_path / "p.yaml"), Scan("p", 1, SETTINGS, layers, (0.0,) * 6), model)


def test_points_go_from_accurate_to_small_and_are_allowed_values(tmp_path):
    found = points(tmp_path, lambda name: (0.001, 0.01, 0.1, 0.0, 0.001, 0.1))
    assert len(found) == 4
    assert (found[0][BOTH], found[0][SHARED]) == (0.5, 6)
    assert (found[-1][BOTH], found[-1][SHARED]) == (0.9, 2)
    assert [point[BOTH] for point in found] == sorted(point[BOTH] for point in found)


def test_insensitive_layers_are_pruned_more(tmp_path):
    found = points(tmp_path, lambda name: tuple(
        cost * (0.001 if ".12." in name else 1) for cost in (0.001, 0.01, 0.1, 0.0, 0.001, 0.1)
    ))  # fmt: skip
    assert all(point[PRUNED] >= point[BOTH] for point in found)
    assert any(point[PRUNED] > point[BOTH] for point in found)


def test_a_value_that_is_no_tunable_keeps_its_initial_value(tmp_path):
    found = points(tmp_path, lambda name: (0.001, 0.01, 0.1, 0.0, 0.001, 0.1))
    assert {point["stages.distill.learning_rate"] for point in found} == {0.03}
