"""`squeeze-compress export` writes a model with all that it needs to run elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_models import shared_squeezenet

from compress import container
from compress.cli.main import main


def export(model: Path | str, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["export", str(model), "--to", "web", "-o", str(folder), *options])


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "digits.sqz"
    container.write(path, shared_squeezenet())
    return path


@pytest.mark.parametrize("name", ["file", "squeezenet"])
def test_every_file_is_listed_with_its_bytes(tmp_path, model, name):
    done = export(model if name == "file" else name, tmp_path / "page")
    assert done.exit_code == 0
    files = [path for path in (tmp_path / "page").rglob("*") if path.is_file()]
    assert sorted(done.output.splitlines()) == sorted(f"{path}: {path.stat().st_size:,} bytes" for path in files)
    assert tmp_path / "page" / "index.html" in files


def test_the_same_model_gives_the_same_files(tmp_path, model):
    for folder in ("one", "other"):
        export(model, tmp_path / folder)
    for path in (path for path in (tmp_path / "one").rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "one")).read_bytes()


@pytest.mark.parametrize("target", ["c", "hub", "web"])
def test_an_error_names_the_file(tmp_path, target):
    (tmp_path / "text.sqz").write_text("hello")
    done = export(tmp_path / "text.sqz", tmp_path / "out", "--to", target)
    assert done.exit_code == 1
    assert done.stderr == f"error: {tmp_path}/text.sqz: at byte 0: not a .sqz file; expected the .sqz magic bytes\n"
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_needs_force(tmp_path, model):
    (tmp_path / "notes.txt").write_text("mine")
    done = export(model, tmp_path)
    assert done.exit_code == 2
    assert "--force" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]
    done = export(model, tmp_path, "--force")
    assert done.exit_code == 0
    assert "index.html" in done.output
    assert "notes.txt" not in done.output  # no file that it wrote
    assert (tmp_path / "notes.txt").read_text() == "mine"
