"""What is compared: files that are there, NNCodec's environment, and a clear word where something is missing."""

from __future__ import annotations

import subprocess

import pytest
from click.testing import CliRunner

from benchmarks import nncodec_peer
from benchmarks.rate_accuracy import main
from benchmarks.ready import PIPELINES, choose, passes_seconds
from compress.builtin_pipelines import ready_pipelines
from compress.errors import ConfigError, SqueezeError


@pytest.fixture
def out(tmp_path):
    (tmp_path / "squeezenet").mkdir()
    (tmp_path / "squeezenet" / "model.sqz").write_bytes(b"x")
    return tmp_path


class TestChoosing:
    def test_a_file_that_is_not_there_is_left_out_and_said_where_that_is_asked(self, out):
        files, left_out = choose(["squeezenet", "squeezenet-500k"], out, only_existing=True)
        assert files == {"squeezenet": out / "squeezenet" / "model.sqz"}
        absent = out / "squeezenet-500k" / "model.sqz"
        assert [(gone.name, gone.reason) for gone in left_out] == [("squeezenet-500k", f"there is no {absent}")]

    def test_otherwise_it_is_kept_to_be_run(self, out):
        files, left_out = choose(["squeezenet-500k", "squeezenet"], out, only_existing=False)
        assert list(files) == ["squeezenet-500k", "squeezenet"]
        assert left_out == ()

    def test_a_pipeline_that_does_not_exist_is_an_error_before_anything_runs(self, out):
        with pytest.raises(ConfigError, match="no ready pipeline of that name; did you mean 'squeezenet-500k'"):
            choose(["squeezenet-50k"], out, only_existing=False)

    def test_time_of_passes_is_not_known_without_the_report_of_the_run(self, out):
        assert passes_seconds(out / "squeezenet" / "model.sqz") is None
        (out / "squeezenet" / "report.json").write_text("{}")
        assert passes_seconds(out / "squeezenet" / "model.sqz") is None


class TestCommand:
    def test_photos_that_are_not_there_are_named_and_end_it_with_2(self, out):
        done = CliRunner().invoke(main, ["--photos", str(out / "nowhere.csv"), "--out", str(out)])
        assert done.exit_code == 2
        assert "there are no photos at" in done.stderr
        assert "nowhere.csv" in done.stderr

    def test_nothing_to_compare_is_an_error(self, out):
        photos = out / "photos.csv"
        photos.write_text("path,index\n")
        options = ["--photos", str(photos), "--out", str(out), "--only-existing", "--without-nncodec"]
        done = CliRunner().invoke(main, ["squeezenet-500k", *options])
        assert done.exit_code == 2
        assert "squeezenet-500k: left out, there is no" in done.stdout
        assert "nothing is left to compare" in done.stderr


class TestEnvironment:
    def test_one_with_the_mark_of_a_whole_one_is_taken_as_it_is(self, tmp_path, monkeypatch):
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be run"))
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "python").touch()
        (tmp_path / "ready").write_text(nncodec_peer.REQUIREMENT)
        assert nncodec_peer.environment(tmp_path) == tmp_path / "bin" / "python"

    @pytest.mark.parametrize("mark", [None, "nncodec==1.0"])
    def test_one_that_failed_is_not_marked_and_the_way_out_is_said(self, tmp_path, monkeypatch, mark):
        if mark:
            (tmp_path / "ready").write_text(mark)
        failed = subprocess.CompletedProcess([], 1, stdout="", stderr="no such package\n")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
        with pytest.raises(SqueezeError, match=r"(?s)--without-nncodec leaves NNCodec out.*no such package"):
            nncodec_peer.environment(tmp_path)
        assert not (tmp_path / "ready").exists() or (tmp_path / "ready").read_text() != nncodec_peer.REQUIREMENT


def test_every_pipeline_that_is_compared_is_a_ready_one():
    assert set(PIPELINES) <= set(ready_pipelines())
