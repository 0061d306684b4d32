"""`inspect` shows where every byte of a file goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forge import coefficients_model, small_file, small_model
from small import shared_squeezenet

from compress import container
from compress.container.inspection import inspect_file
from compress.errors import FormatError


@pytest.fixture
def small(tmp_path) -> Path:
    (tmp_path / "small.sqz").write_bytes(small_file())
    return tmp_path / "small.sqz"


def parts_of(found):
    return found.header_bytes + found.label_bytes + sum(
        part.index_bytes + part.position_bytes + part.codebook_bytes + part.scale_bytes for part in found.tensors
    )  # fmt: skip


def test_the_bytes_of_the_parts_sum_to_the_files(small, tmp_path):
    assert parts_of(inspect_file(small)) == small.stat().st_size
    container.write(tmp_path / "squeezenet.sqz", shared_squeezenet())
    found = inspect_file(tmp_path / "squeezenet.sqz")
    assert parts_of(found) == found.file_bytes == (tmp_path / "squeezenet.sqz").stat().st_size


def test_each_tensor_is_told_with_its_form_kept_weights_and_bits(small):
    found = {tensor.name: tensor for tensor in inspect_file(small).tensors}
    assert list(found) == list(small_model().tensors)
    shared, pruned, dense = found["layer.0.weight"], found["layer.1.weight"], found["layer.1.bias"]
    assert (shared.form, shared.shape, shared.weights, shared.kept, shared.codebook_entries) == (
        "shared",
        (4, 3),
        12,
        6,
        4,
    )
    assert shared.scale_bytes > 0
    assert (pruned.form, pruned.kept, pruned.codebook_entries) == ("pruned", 3, 0)
    assert pruned.position_bytes > 0
    assert (dense.form, dense.kept, dense.bits_per_weight) == ("dense", 2, 32)
    assert found["layer.0.bias"].bits_per_weight == 16


def test_coefficients_of_kernels_are_told_apart(tmp_path):
    file = tmp_path / "coefficients.sqz"
    container.write(file, coefficients_model())
    found = inspect_file(file)
    assert {tensor.form for tensor in found.tensors} == {"coefficients"}
    assert found.tensors[1].scale_bytes > 0  # it has exponents of no other sort
    assert parts_of(found) == file.stat().st_size


def test_as_json_it_holds_all_of_it_and_no_weights(small):
    content = json.loads(json.dumps(inspect_file(small).to_json()))
    assert (content["architecture"], content["classes"], content["labelled"]) == ("small", 3, True)
    assert content["file_bytes"] == len(small_file())
    assert content["weights_sha256"] == container.weights_sha256(small_model())
    assert content["preprocessing"]["mean"] == [0.485]
    assert [tensor["name"] for tensor in content["tensors"]] == list(small_model().tensors)
    assert "model" not in content


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "bad.sqz").write_bytes(small_file()[:-1])
    with pytest.raises(FormatError, match="cut off"):
        inspect_file(tmp_path / "bad.sqz")
