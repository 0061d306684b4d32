"""The command line: one message and an exit code for an error; results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from forge import small_file
from PIL import Image
from safetensors.numpy import save_file
from skimage import data
from small_models import LABELS, float_squeezenet, shared_squeezenet

import compress
from compress import container
from compress.builtin_pipelines import builtin_pipelines
from compress.cli import console
from compress.cli.main import main
from compress.cli.options import confirm_overwrite
from compress.configuration.config import read_pipeline
from compress.configuration.json_schema import pipeline_schema
from compress.errors import ConfigError
from compress.export import write_weights
from compress.weights.model_files import load_model
from compress.weights.user_network import UserNetwork


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def sqz(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sqz") / "digits.sqz"
    container.write(path, shared_squeezenet())
    return path


@pytest.fixture
def photo(tmp_path) -> Path:
    Image.fromarray(data.coffee()).save(tmp_path / "coffee.png")
    return tmp_path / "coffee.png"


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(exit_code: int, *arguments: object) -> str:
    """Run a command that fails: nothing on stdout, one message on stderr. Returns the message."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ")
    return result.stderr.removeprefix("error: ").rstrip("\n")


def test_version_and_help():
    assert invoke("--version").stdout == f"squeeze-compress, version {compress.__version__}\n"
    commands = (
        "compare", "decompress", "describe", "evaluate", "init", "inspect", "pipelines", "predict", "run", "verify",
    )  # fmt: skip
    for shown in (invoke("--help").stdout, invoke("-h").stdout):
        assert all(re.search(rf"^  {command} +\w", shown, re.MULTILINE) for command in commands)
        assert "..." not in shown.partition("Commands:")[2]  # no description is cut off
    for command in commands:
        assert invoke(command, "--help").stdout.startswith(f"Usage: main {command}")


@pytest.mark.parametrize(
    "arguments",
    [["compres"], ["run", "--sed", "1"], ["run", "--seed", "-1"], ["predict"], ["inspect", "gone.sqz"],
     ["describe", "squeezenet1_1", "--input", "31"],
     ["evaluate", "squeezenet", "--data", ".", "--label-column", ""], ["run", "squeezenet", "--device", ""]],
)  # fmt: skip
def test_bad_usage_ends_with_2(here, arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (
            b"sed: 1",
            [],
            "p.yaml:1: sed: unknown key; did you mean 'seed'? (allowed: model, data, stages, encode, goal, re",
        ),
        (b"seed: x", [], "p.yaml:1: seed: cannot be 'x' (allowed: a whole number"),
        (
            b"stages:\n- pass: share\n  bits: 99",
            [],
            "p.yaml:3: stages.0.bits: cannot be 99 (allowed: a whole number, 1",
        ),
        (b"stages:\n- pass: prnue", [], "p.yaml:2: stages.0.pass: unknown pass 'prnue'; did you mean 'prune'?"),
        (b"model: {source: embeded}", [], "p.yaml:1: model.source: unknown source 'embeded'; did you mean 'embedded'?"),
        (b"seed: 1\nseed: 2", [], "p.yaml:2: seed: duplicate key"),
        (b"seed: [", [], "p.yaml:1: not YAML"),
        (b"\xff\xfe", [], "p.yaml:1: not UTF-8: the byte 0xff"),
        (b"", [], "p.yaml:1: not a mapping of keys"),
        (b"seed: 1", ["--set", "stages.0.bits=3"], "p.yaml: stages: not a list (with --set stages.0.bits)"),
        (
            b"stages: []",
            ["--set", "stages.0.bits=3"],
            "--set: stages.0.bits: there is no 0 (allowed: none: the list is",
        ),
        (b"seed: 1", ["--set", "goal.byte=3"], "--set: goal.byte: unknown key; did you mean 'bytes'?"),
        (b"seed: 1", ["--device", "gpu"], "--device: cannot run on 'gpu' (allowed: cpu"),
        (
            b"model: {source: checkpoint, architecture: squeezenet1_1,\n path: gone.pth}",
            [],
            "p.yaml:2: model.path: no file gone.pth",
        ),
    ],
)
def test_an_invalid_pipeline_ends_with_2_and_one_line_and_writes_nothing(here, content, arguments, message):
    (here / "p.yaml").write_bytes(content)
    printed = refused(2, "run", "p.yaml", *arguments)
    assert printed.startswith(message)
    assert "\n" not in printed
    assert [path.name for path in here.iterdir()] == ["p.yaml"]


def test_the_error_for_a_missing_pipeline_lists_the_built_in_ones(here):
    message = refused(2, "run", "squeezenet-imagnet")
    assert message.startswith("'squeezenet-imagnet' is neither a pipeline file nor a built-in pipeline; did you mean ")
    assert all(name in message for name in builtin_pipelines())
    assert "'squeeze-compress init' writes" in refused(2, "run")


def test_the_whole_program_ends_with_one_message_and_no_traceback(here):
    Path("bad.sqz").write_bytes(small_file()[:50])
    done = subprocess.run([sys.executable, "-m", "compress", "verify", "bad.sqz"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(
        rb"error: bad\.sqz: at byte 50: the file is cut off within the header; expected [0-9]+ bytes\n", done.stderr
    )


def test_verbose_adds_the_traceback_of_an_error(here):
    (here / "p.yaml").write_text("seed: x")
    message = invoke("-v", "run", "p.yaml").stderr
    assert message.startswith("error: p.yaml:1: seed")
    assert "Traceback" in message


PHOTOS = """\
data:
  calibration: {source: digits, limit: 1}
  validation: {source: folder, path: photos}
model: {source: checkpoint, path: float.safetensors, architecture: squeezenet1_1}
"""


@pytest.fixture
def with_photos(here) -> Path:
    """A pipeline for ten classes, and the empty folder for its photos."""
    write_weights(float_squeezenet(), here / "float.safetensors")
    (here / "p.yaml").write_text(PHOTOS)
    (here / "photos").mkdir()
    return here / "photos"


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (200, 100, 50)).save(path)


def test_unusable_photos_end_a_run_with_1_and_no_model(with_photos):
    assert refused(1, "run", "p.yaml").startswith("no photos in photos; looked for .apng, .avif, ")
    (with_photos / "a.png").write_bytes(b"broken")
    assert "1 of 1 photos cannot be read" in refused(1, "run", "p.yaml")
    save(with_photos / "a.png")
    message = refused(1, "run", "p.yaml", "--set", "goal.max_top1_drop=1")
    assert message.startswith("the goal limits the drop of top-1 or top-5, but the validation photos have no labels")
    message = refused(1, "run", "p.yaml", "--set", "data.calibration={source: folder, path: photos/a.png}")
    assert message.startswith("1 of 1 validation photos are also calibration photos, for example photos/a.png")
    (with_photos / "a.png").unlink()
    save(with_photos / "10" / "a.png")
    assert "has the class 10, but the network's classes are 0 to 9" in refused(1, "run", "p.yaml")
    assert not list(Path().rglob("model.sqz"))
    assert not list(Path().rglob("report.*"))


def test_the_error_for_a_checkpoint_of_another_network_names_its_tensors(with_photos):
    message = refused(1, "run", "p.yaml", "--set", "model.architecture=squeezenet1_0")
    assert message.startswith(
        "float.safetensors: these are not the weights of squeezenet1_0 with 10 classes: missing features.5.squeeze."
    )
    assert "; and " in message
    assert not Path("out").exists()


def test_describe_shows_the_shapes_and_parameters_of_the_paper():
    shown = invoke("describe", "squeezenet1_0").stdout
    for shape in ("111x111x96", "55x55x96", "55x55x128", "27x27x256", "13x13x512", "13x13x1000", "1x1x1000"):
        assert shape in shown
    assert re.search(r"^total +1,248,424", shown, re.MULTILINE)
    assert "1,235,496" in invoke("describe", "squeezenet1_1", "--input", "224").stdout
    assert "did you mean 'squeezenet1_1'?" in refused(2, "describe", "squeezenet1.1")
    assert "did you mean 'mcunet-240k'?" in refused(2, "describe", "mcunet-240")
    assert "'gone.sqz' is neither a network, a file nor a built-in model" in refused(2, "describe", "gone.sqz")


def test_describe_takes_the_name_of_a_built_in_model():
    shown = invoke("describe", "mcunet-240k").stdout
    assert "729,720" in shown
    assert shown.endswith("runs in C: yes\n")


def test_describe_names_the_operation_that_c_does_not_have(tmp_path):
    source = UserNetwork(factory="user_networks:softplus_network", input_size=32)
    container.write(tmp_path / "own.sqz", source.load())
    shown = invoke("describe", tmp_path / "own.sqz", "--factory", "user_networks:softplus_network").stdout
    assert "runs in C: no: C does not have the layer 1, Softplus(" in shown


def test_describe_takes_a_model_file_with_its_own_classes_and_input(sqz):
    shown = invoke("describe", sqz).stdout
    assert shown.startswith("squeezenet1_1")
    assert "1x1x10 " in shown
    assert "31x31x64" in shown


def test_inspect_shows_a_row_for_each_tensor(sqz):
    shown = invoke("inspect", sqz).stdout
    assert f"{sqz}: {sqz.stat().st_size:,} bytes, squeezenet1_1, 10 classes" in shown
    assert "class names: yes; runs in C: yes" in shown
    for name in shared_squeezenet().tensors:
        assert re.search(rf"^{re.escape(name)} .*(shared|dense)", shown, re.MULTILINE)


def test_inspect_as_json_sums_to_the_bytes_of_the_file(sqz):
    content = json.loads(invoke("inspect", sqz, "--json").stdout)
    parts = ("index_bytes", "position_bytes", "codebook_bytes", "scale_bytes")
    tensors = sum(tensor[part] for tensor in content["tensors"] for part in parts)
    assert content["header_bytes"] + content["label_bytes"] + tensors == sqz.stat().st_size == content["file_bytes"]


def test_verify_prints_the_hash_of_the_weights(sqz):
    shown = invoke("verify", sqz).stdout
    assert f"{sqz}: valid; 52 tensors, {sqz.stat().st_size:,} bytes" in shown
    assert f"sha256 of the decoded weights: {container.weights_sha256(shared_squeezenet())}" in shown


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_decompress_writes_weights_that_load_equal(sqz, tmp_path, name):
    shown = invoke("decompress", sqz, "-o", tmp_path / name).stdout
    assert shown == f"{tmp_path / name}: {(tmp_path / name).stat().st_size:,} bytes\n"
    again = load_model(tmp_path / name)
    for key, tensor in shared_squeezenet().tensors.items():
        assert np.array_equal(again.tensors[key].to_dense(), tensor.to_dense())


def test_decompress_writes_onnx_with_float32_or_codebook_weights(sqz, tmp_path):
    sizes = []
    for more in ([], ["--weights", "float32"], ["--weights", "codebook"]):
        shown = invoke("decompress", sqz, "-o", tmp_path / "m.onnx", "--force", *more).stdout
        sizes.append((tmp_path / "m.onnx").stat().st_size)
        assert shown == f"{tmp_path / 'm.onnx'}: {sizes[-1]:,} bytes\n"
    assert sizes[0] == sizes[1] > 3 * sizes[2]


def test_decompress_refuses_an_unknown_format_or_an_impossible_folder(sqz, here):
    message = refused(2, "decompress", sqz, "-o", "w.npz")
    assert message == "w.npz: unknown format '.npz' (allowed: .safetensors, .pth, .pt, .onnx)"
    message = refused(2, "decompress", sqz, "-o", "w.pth", "--weights", "codebook")
    assert message == "w.pth: '.pth' files have no codebooks; leave out --weights codebook"
    Path("file").write_bytes(b"")
    assert refused(1, "decompress", sqz, "-o", "file/w.pth").startswith("file")


def test_predict_names_five_classes_for_each_photo(sqz, photo):
    shown = invoke("predict", sqz, photo, photo).stdout.splitlines()
    assert len(shown) == 12
    assert shown[0] == str(photo)
    assert shown[1:6] == shown[7:12]
    for line in shown[1:6]:
        assert re.fullmatch(r" +\d+\.\d% +(.*)", line)[1] in LABELS


def test_predict_reads_a_checkpoint(tmp_path, photo):
    arrays = {name: tensor.to_dense() for name, tensor in float_squeezenet("squeezenet1_0").tensors.items()}
    save_file(arrays, tmp_path / "w.safetensors")
    shown = invoke("predict", tmp_path / "w.safetensors", photo, "--device", "cpu").stdout
    assert len(re.findall(r"% +class \d$", shown, re.MULTILINE)) == 5
    message = refused(1, "predict", tmp_path / "w.safetensors", photo, "--architecture", "squeezenet1_1")
    problem = "w.safetensors: these are not the weights of squeezenet1_1 with 10 classes: missing features.6.squeeze.we"
    assert problem in message


def test_evaluate_prints_accuracy_with_intervals_and_skipped_photos(sqz, tmp_path):
    for number in range(30):
        save(tmp_path / "photos" / f"{number % 10}" / f"{number}.png")
    (tmp_path / "photos" / "3" / "3.png").write_bytes(b"broken")
    lines = invoke("evaluate", sqz, "--data", tmp_path / "photos", "--device", "cpu").stdout.splitlines()
    assert lines[0] == f"photos: 29 photos from {tmp_path / 'photos'}, labeled by class indices of the subfolders"
    assert re.fullmatch(r"top-1 \d+\.\d% \(95% interval \d+\.\d% to \d+\.\d%\)", lines[1])
    assert lines[2].startswith("top-5 ")
    assert lines[3].startswith(f"skipped {tmp_path / 'photos' / '3' / '3.png'}: not a photo")


def test_evaluate_refuses_photos_without_labels(sqz, photo):
    assert "these photos have no labels" in refused(1, "evaluate", sqz, "--data", photo.parent)


def test_evaluate_says_that_the_sample_photos_have_no_labels():
    done = CliRunner().invoke(main, ["evaluate", "squeezenet", "--data", "samples"])
    assert done.exit_code == 2
    words = " ".join(done.stderr.split())
    assert "the sample photos have no labels" in words
    assert "squeeze-compress compare embedded MODEL --data samples" in words


DAMAGES = {
    "empty": lambda data: b"",
    "another file": lambda data: b"\x89PNG\r\n\x1a\n" + data[8:],
    "cut in the prefix": lambda data: data[:15],
    "cut in the header": lambda data: data[:60],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "a later version": lambda data: data[:8] + b"\x02" + data[9:],
    "a bit in the header": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
    "a bit in a payload": lambda data: data[:-500] + bytes([data[-500] ^ 4]) + data[-499:],
}
READERS = {
    "inspect": [],
    "verify": [],
    "describe": [],
    "predict": ["PHOTO"],
    "evaluate": ["--data", "."],
    "compare": ["bad.sqz", "--data", "."],
    "decompress": ["-o", "weights.pth"],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_by_every_command_that_reads_it(here, sqz, photo, damage):
    Path("bad.sqz").write_bytes(DAMAGES[damage](sqz.read_bytes()))
    messages = set()
    for command, more in READERS.items():
        message = refused(1, command, "bad.sqz", *(photo if part == "PHOTO" else part for part in more))
        assert re.match(r"bad\.sqz: at byte [\d,]+: .*; expected ", message)
        messages.add(message)
    assert len(messages) == 1
    assert not Path("weights.pth").exists()


def test_a_valid_file_of_an_unknown_network_can_be_read_but_not_run(here, photo):
    Path("small.sqz").write_bytes(small_file())
    assert invoke("inspect", "small.sqz").exit_code == invoke("verify", "small.sqz").exit_code == 0
    assert refused(2, "predict", "small.sqz", photo).startswith("no network 'small'")


@pytest.mark.parametrize("wrong", [{"height": 8, "width": 8}, {"channels": "L", "mean": (0.0,), "std": (1.0,)}])
def test_preprocessing_that_does_not_fit_the_network_is_an_error(here, photo, wrong):
    model = shared_squeezenet()
    container.write("odd.sqz", replace(model, preprocessing=replace(model.preprocessing, **wrong)))
    for command in (("predict", "odd.sqz", photo), ("describe", "odd.sqz")):
        assert refused(1, *command).startswith("squeezenet1_1 does not accept photos of ")


def test_describe_shows_rows_before_columns(here):
    model = shared_squeezenet()
    container.write("wide.sqz", replace(model, preprocessing=replace(model.preprocessing, height=64, width=128)))
    assert "31x63x64" in invoke("describe", "wide.sqz").stdout


def test_the_error_for_a_damaged_checkpoint_names_it(here, photo):
    Path("w.pth").write_bytes(b"no zip")
    assert refused(1, "predict", "w.pth", photo).startswith("w.pth: is text, not weights; it begins with ")


def test_pipelines_lists_the_built_in_pipelines_with_their_descriptions():
    shown = invoke("pipelines").stdout
    for name in builtin_pipelines():
        assert re.search(rf"^{name} +Makes (a|the) ", shown, re.MULTILINE)
    assert "Takes about" not in shown
    descriptions = [pipeline["description"] for pipeline in json.loads(invoke("pipelines", "--json").stdout)]
    assert all("Takes about" in description for description in descriptions)
    assert len({description.partition(". ")[0] for description in descriptions}) == len(descriptions)


def test_init_writes_a_pipeline_that_can_be_run_and_does_not_overwrite(here):
    shown = invoke("init").stdout
    assert shown == (
        "wrote pipeline.yaml; run it with: squeeze-compress run pipeline.yaml\n"
        "wrote pipeline.schema.json; editors complete the pipeline by it\n"
    )
    first_line = Path("pipeline.yaml").read_text().partition("\n")[0]
    assert first_line == "# yaml-language-server: $schema=pipeline.schema.json"
    assert json.loads(Path("pipeline.schema.json").read_text()) == pipeline_schema()
    assert read_pipeline(Path("pipeline.yaml")).description.startswith("Makes the ImageNet SqueezeNet v1.1 smaller")
    assert read_pipeline(Path("pipeline.yaml")).stages == read_pipeline(builtin_pipelines()["squeezenet"]).stages
    Path("pipeline.yaml").write_text("mine")
    assert refused(2, "init") == "pipeline.yaml: exists already; name another file with --output"
    assert Path("pipeline.yaml").read_text() == "mine"
    assert invoke("init", "squeezenet-500k", "-o", "mine/p.yaml").exit_code == 0
    copied = read_pipeline(builtin_pipelines()["squeezenet-500k"])
    assert read_pipeline(Path("mine/p.yaml")).validation == copied.validation


def test_init_of_a_missing_pipeline_suggests_the_nearest_name(here):
    assert "did you mean 'squeezenet'?" in refused(2, "init", "squeeznet")
    assert not list(here.iterdir())


@pytest.mark.parametrize("content", [b"hello", b"stages: [{pass: prune}]", b"\xff\xfe\x00"])
def test_init_copies_only_pipelines(here, content):
    Path("mine.yaml").write_bytes(content)
    assert refused(2, "init", "mine.yaml", "-o", "copy.yaml").startswith("mine.yaml")
    assert not Path("copy.yaml").exists()


def test_a_mistyped_pipeline_file_is_suggested(here):
    Path("pipelines.yml").write_text("seed: 1")
    assert "did you mean 'pipelines.yml'?" in refused(2, "validate", "pipeline.yaml")


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="no such device")
def test_a_pipeline_may_come_through_a_pipe():
    command, text = [sys.executable, "-m", "compress", "validate", "/dev/stdin"], "stages: [{pass: recode}]\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("/dev/stdin: valid; stages: recode\n", "")


def test_a_link_to_a_missing_pipeline_is_called_that(here):
    Path("pipeline.yaml").symlink_to("moved.yaml")
    assert refused(2, "validate", "pipeline.yaml").endswith("pipeline.yaml: a link to a file that does not exist")


def test_a_folder_is_no_pipeline(here):
    Path("squeeze").mkdir()
    assert refused(2, "validate", "squeeze").endswith("squeeze: a folder; name a pipeline file in it")


def test_quiet_prints_results_and_errors_only(here, sqz, photo):
    loud, quiet = invoke("predict", sqz, photo), invoke("-q", "predict", sqz, photo)
    assert quiet.stdout == loud.stdout
    assert quiet.stderr == ""
    assert refused(1, "-q", "predict", sqz, sqz).endswith("not a photo (JPEG, PNG, WEBP, BMP, GIF, TIFF, PPM, AVIF)")


@pytest.mark.parametrize("option", ["-q", "--verbose"])
def test_an_option_of_all_commands_after_the_command_says_where_it_belongs(option):
    done = CliRunner().invoke(main, ["inspect", "squeezenet", option])
    assert done.exit_code == 2
    assert f"it comes before the command: squeeze-compress {option} inspect" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are not Unicode")
def test_a_file_name_that_is_not_unicode_or_not_printable_is_escaped(here):
    strange = Path("caf\udce9 ünd [bold].sqz")
    strange.write_bytes(small_file())
    command = [sys.executable, "-m", "compress", "verify", strange]
    env = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(command, capture_output=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(rb"caf\udce9 \xfcnd [bold].sqz: valid; ")


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are not Unicode")
@pytest.mark.parametrize("command", [["verify"], ["inspect"], ["decompress", "-o", "caf\udce9.pth"]])
def test_json_of_a_file_name_that_is_not_unicode_is_unicode(here, command):
    Path("caf\udce9.sqz").write_bytes(small_file())
    found = json.loads(invoke(command[0], "caf\udce9.sqz", *command[1:], "--json").stdout)
    file = found[0]["file"] if isinstance(found, list) else found["file"]
    assert file.encode() == b"caf\\udce9" + (b".pth" if command[1:] else b".sqz")


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names with control characters")
def test_a_name_cannot_steer_the_terminal(here):
    strange = Path("\x1b[2Khidden\r.sqz")
    strange.write_bytes(small_file())
    assert invoke("verify", strange).stdout.startswith(r"\x1b[2Khidden\x0d.sqz: valid; ")
    strange.write_bytes(b"")
    assert refused(1, "verify", strange).startswith(r"\x1b[2Khidden\x0d.sqz: ")


def test_max_weights_limits_what_is_decoded_and_the_error_names_it(sqz, here):
    for command in (["verify", sqz], ["inspect", sqz], ["decompress", sqz, "-o", "out.pth"]):
        assert "--max-weights" in refused(1, *command, "--max-weights", 5)
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["inspect", "SQZ"], {"tensors", "file_bytes"}),
        (["verify", "SQZ"], {"file", "file_bytes", "tensors", "weights_sha256"}),
        (["describe", "SQZ"], {"network", "layers", "runs_in_c", "problem_in_c"}),
        (["predict", "SQZ", "PHOTO"], {"photos", "unreadable"}),
        (["evaluate", "SQZ", "--data", "labeled"], {"accuracy", "data", "skipped"}),
        (["compare", "SQZ", "SQZ", "--data", "PHOTO"], {"a", "b", "photos"}),
        (["cache", "list", "."], {"."}),
    ],
)
def test_json_is_all_that_stdout_gets(here, sqz, photo, arguments, keys):
    save(here / "labeled" / "3" / "a.png")
    shown = invoke(*({"SQZ": sqz, "PHOTO": photo}.get(part, part) for part in arguments), "--json")
    content = json.loads(shown.stdout, parse_constant=pytest.fail)
    assert keys <= content.keys()


def test_predict_goes_on_after_a_bad_photo_and_ends_with_1(sqz, photo, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"broken")
    shown = invoke("predict", sqz, tmp_path / "bad.png", photo)
    assert shown.exit_code == 1
    assert shown.stdout == invoke("predict", sqz, photo).stdout
    assert shown.stderr.startswith(f"error: {tmp_path / 'bad.png'}: not a photo")
    content = json.loads(invoke("predict", sqz, tmp_path, "--json").stdout)
    assert [Path(each["photo"]).name for each in content["photos"]] == ["coffee.png"]
    assert len(content["unreadable"]) == 1
    (tmp_path / "none").mkdir()
    shown = invoke("predict", sqz, tmp_path / "none", photo)
    assert shown.exit_code == 1
    assert shown.stdout == invoke("predict", sqz, photo).stdout


def test_predict_takes_folders(sqz, photo, here):
    assert invoke("predict", sqz, photo.parent).stdout == invoke("predict", sqz, photo).stdout
    (here / "none").mkdir()
    (here / "none" / "IMG_1.HEIC").write_bytes(b"")
    assert "no photos in none (1 files ignored: .heic)" in refused(1, "predict", sqz, "none")


def test_the_embedded_weights_can_be_evaluated_and_predict(here):
    save(here / "photos" / "n01440764" / "a.png")
    shown = invoke("evaluate", "embedded", "--data", "photos", "--device", "cpu")
    assert shown.stdout.startswith("photos: 1 photos from photos, labeled by synsets of the subfolders")
    assert len(invoke("predict", "embedded", "photos", "--device", "cpu").stdout.splitlines()) == 6


def test_a_tilde_is_the_home_folder_after_an_equals_sign_too(here, sqz, photo, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    (here / "model.sqz").write_bytes(sqz.read_bytes())
    assert invoke("decompress", "~/model.sqz", "--output=~/w.pth").exit_code == 0
    assert (here / "w.pth").exists()
    assert invoke("compare", "~/model.sqz", "~/model.sqz", f"--data=~/{photo.name}").exit_code == 0
    assert invoke("init", "--output=~/p.yaml").exit_code == 0
    message = refused(2, "run", "~/p.yaml", "--set", "data.validation={source: folder, path: ~/none}")
    assert f"data.validation.path: {here}/none does not exist" in message


def test_a_tilde_without_such_a_user_is_a_name(here, photo):
    message = refused(2, "run", "squeezenet", "--set", "data.validation={source: folder, path: ~nobody-here/none}")
    assert "data.validation.path: ~nobody-here/none does not exist" in message
    assert "'~nobody-here' does not exist" in invoke("predict", "squeezenet-240k", "~nobody-here").stderr
    assert "'~nobody-here' is neither a pipeline file" in refused(2, "validate", "~nobody-here")
    photo.rename("~photo.jpg")
    assert invoke("predict", "squeezenet-240k", "~photo.jpg").exit_code == 0


def test_decompress_overwrites_only_with_force(here, sqz):
    Path("w.pth").write_bytes(b"mine")
    message = refused(2, "decompress", sqz, "-o", "w.pth")
    assert message == "w.pth: exists already; overwrite it with --force, or name another file"
    assert Path("w.pth").read_bytes() == b"mine"
    assert invoke("decompress", sqz, "-o", "w.pth", "--force").exit_code == 0


def test_a_closed_input_is_nobody_to_ask(here, sqz, monkeypatch):
    Path("w.pth").write_bytes(b"mine")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigError, match="exists already; overwrite it with --force"):
        confirm_overwrite(Path("w.pth"), force=False)


@pytest.mark.parametrize("width", [20, 60, 160])
def test_a_table_cuts_neither_names_nor_numbers(capsys, monkeypatch, width):
    monkeypatch.setattr(console, "_terminal_width", lambda: width)
    name, number = "features.denseblock4.denselayer16.conv2.weight", "123,456,789"
    console.show_table(("layer", "shape", "bytes", "other"), [(name, "512x512x3x3", number, number)], text_columns=2)
    shown = capsys.readouterr().out
    assert shown.count(number) == 2
    assert "\u2026" not in shown
    assert name in "".join(line.split(" ")[0] for line in shown.splitlines()[1:])


def test_columns_that_do_not_fit_a_terminal_follow_below_with_the_first_column(capsys, monkeypatch):
    columns = ("stage", *(f"figure {number}" for number in range(9)))
    rows = [(stage, *(f"{number}00,000.00" for number in range(9))) for stage in ("baseline", "proof")]
    monkeypatch.setattr(console, "_terminal_width", lambda: 80)
    console.show_table(columns, rows)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.strip()] == ["stage", "baseline", "proof"] * 2
    assert [figure for line in lines if line.startswith("proof") for figure in line.split()[1:]] == list(rows[1][1:])
    monkeypatch.setattr(console, "_terminal_width", lambda: None)
    console.show_table(columns, rows)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_inspect_leaves_out_columns_of_zeros(here, sqz):
    assert invoke("inspect", sqz).stdout.splitlines()[2].split()[-3:] == ["bits/weight", "indices", "codebook"]
