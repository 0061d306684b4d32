"""The summary of a file accounts for every byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forge import small_file
from small_models import shared_squeezenet

from benchmarks.format_models import coefficients_model, small_model
from compress import container
from compress.container.inspection import inspect_file
from compress.errors import FormatError


@pytest.fixture
def small(tmp_path) -> Path:
    (tmp_path / "small.sqz").write_bytes(small_file())
    return tmp_path / "small.sqz"


def parts_of(layout):
    return layout.header_bytes + layout.label_bytes + sum(
        part.index_bytes + part.position_bytes + part.codebook_bytes + part.scale_bytes for part in layout.tensors
    )  # fmt: skip


def test_the_bytes_of_the_parts_sum_to_the_file(small, tmp_path):
    assert parts_of(inspect_file(small).layout) == small.stat().st_size
    container.write(tmp_path / "squeezenet.sqz", shared_squeezenet())
    found = inspect_file(tmp_path / "squeezenet.sqz").layout
    assert parts_of(found) == found.file_bytes == (tmp_path / "squeezenet.sqz").stat().st_size


def test_each_tensor_has_its_form_nonzero_weights_and_bits(small):
    found = {tensor.name: tensor for tensor in inspect_file(small).layout.tensors}
    assert list(found) == list(small_model().tensors)
    shared, pruned, dense = found["layer.0.weight"], found["layer.1.weight"], found["layer.1.bias"]
    assert (shared.form, shared.shape, shared.weights, shared.nonzero_weights, shared.codebook_entries) == (
        "shared",
        (4, 3),
        12,
        6,
        4,
    )
    assert shared.scale_bytes > 0
    assert (pruned.form, pruned.nonzero_weights, pruned.codebook_entries) == ("pruned", 3, 0)
    assert pruned.position_bytes > 0
    assert (dense.form, dense.nonzero_weights, dense.bits_per_weight) == ("dense", 2, 32)
    assert found["layer.0.bias"].bits_per_weight == 16


def test_coefficients_of_kernels_are_a_form_of_their_own(tmp_path):
    file = tmp_path / "coefficients.sqz"
    container.write(file, coefficients_model())
    found, decoded = inspect_file(file).layout, container.read(file).tensors
    assert {tensor.form for tensor in found.tensors} == {"coefficients"}
    assert found.tensors[1].scale_bytes > 0  # it has only coefficient exponents
    for part in found.tensors:
        assert part.nonzero_weights == decoded[part.name].mask.sum()
    assert parts_of(found) == file.stat().st_size


def test_a_decoded_model_gives_the_same_layout():
    for model in (coefficients_model(), small_model(), shared_squeezenet()):
        data = container.encode(model)
        assert container.layout(data, model=container.decode(data)) == container.layout(data)


def test_components_sum_to_the_file_and_coefficients_are_indices():
    for model in (coefficients_model(), small_model(), shared_squeezenet()):
        layout = container.layout(container.encode(model))
        components = layout.bytes_by_component
        assert sum(components.values()) == layout.file_bytes
        has_values = any(tensor.form in {"dense", "pruned"} for tensor in layout.tensors if len(tensor.shape) >= 2)
        assert bool(components["values"]) == has_values


def test_json_has_everything_but_the_weights(small):
    content = json.loads(json.dumps(inspect_file(small).to_json()))
    assert (content["architecture"], content["classes"], content["has_labels"]) == ("small", 3, True)
    assert content["file_bytes"] == len(small_file())
    assert content["weights_sha256"] == container.weights_sha256(small_model())
    assert content["preprocessing"]["mean"] == [0.485]
    assert [tensor["name"] for tensor in content["tensors"]] == list(small_model().tensors)
    assert "model" not in content


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "bad.sqz").write_bytes(small_file()[:-1])
    with pytest.raises(FormatError, match="cut off"):
        inspect_file(tmp_path / "bad.sqz")
