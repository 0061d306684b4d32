"""Inputs of the comparison: existing files, NNCodec's environment, and errors for missing inputs."""

from __future__ import annotations

import subprocess

import pytest
from click.testing import CliRunner

from benchmarks import nncodec_peer
from benchmarks.pipeline_files import PIPELINES, pass_seconds, select_networks
from benchmarks.rate_accuracy import main
from compress.builtin_pipelines import builtin_pipelines
from compress.errors import ConfigError, SqueezeError


@pytest.fixture
def out(tmp_path):
    (tmp_path / "squeezenet").mkdir()
    (tmp_path / "squeezenet" / "model.sqz").write_bytes(b"x")
    return tmp_path


class TestSelection:
    def test_only_existing_omits_a_pipeline_without_a_file(self, out):
        (network,), omitted = select_networks(["squeezenet", "squeezenet-500k"], out, only_existing=True)
        assert network.files == {"squeezenet": out / "squeezenet" / "model.sqz"}
        absent = out / "squeezenet-500k" / "model.sqz"
        assert [(point.name, point.reason) for point in omitted] == [("squeezenet-500k", f"there is no {absent}")]

    def test_otherwise_the_pipeline_stays_to_be_run(self, out):
        (network,), omitted = select_networks(["squeezenet-500k", "squeezenet"], out, only_existing=False)
        assert list(network.files) == ["squeezenet-500k", "squeezenet"]
        assert omitted == ()

    def test_an_unknown_pipeline_is_an_error_before_anything_runs(self, out):
        with pytest.raises(ConfigError, match="nor a built-in pipeline; did you mean 'squeezenet-500k'"):
            select_networks(["squeezenet-50k"], out, only_existing=True)

    def test_pipelines_are_grouped_by_their_own_float_network(self, out):
        names = ["digits", "squeezenet-500k", "deep-compression"]
        networks, _ = select_networks(names, out, only_existing=False)
        grouped = {network.name: list(network.files) for network in networks}
        assert grouped == {"digits": ["digits"], "squeezenet": ["squeezenet-500k", "deep-compression"]}

    def test_a_pipeline_is_omitted_if_the_weights_of_its_float_network_are_missing(self, out, monkeypatch):
        monkeypatch.chdir(out)
        (network,), omitted = select_networks(["mcunet-240k", "squeezenet-500k"], out, only_existing=False)
        assert list(network.files) == ["squeezenet-500k"]
        assert [point.name for point in omitted] == ["mcunet-240k"]
        assert "no file ../shared/data/mcunet/mcunet-320kb-1mb_imagenet.json" in omitted[0].reason

    def test_the_time_of_passes_is_unknown_without_the_report_of_the_run(self, out):
        assert pass_seconds(out / "squeezenet" / "model.sqz") is None
        (out / "squeezenet" / "report.json").write_text("{}")
        assert pass_seconds(out / "squeezenet" / "model.sqz") is None


class TestCommand:
    def test_missing_photos_are_named_and_end_with_2(self, out):
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
        assert "squeezenet-500k: omitted, there is no" in done.stdout
        assert "nothing is left to compare" in done.stderr


class TestEnvironment:
    def test_a_complete_environment_is_reused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be run"))
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "python").touch()
        (tmp_path / "ready").write_text(nncodec_peer.REQUIREMENT)
        assert nncodec_peer.environment(tmp_path) == tmp_path / "bin" / "python"

    @pytest.mark.parametrize("mark", [None, "nncodec==1.0"])
    def test_a_failed_installation_is_not_marked_and_the_error_gives_the_workaround(self, tmp_path, monkeypatch, mark):
        if mark:
            (tmp_path / "ready").write_text(mark)
        failed = subprocess.CompletedProcess([], 1, stdout="", stderr="no such package\n")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
        with pytest.raises(SqueezeError, match=r"(?s)--without-nncodec leaves NNCodec out.*no such package"):
            nncodec_peer.environment(tmp_path)
        assert not (tmp_path / "ready").exists() or (tmp_path / "ready").read_text() != nncodec_peer.REQUIREMENT


def test_every_compared_pipeline_is_built_in():
    assert set(PIPELINES) <= set(builtin_pipelines())
