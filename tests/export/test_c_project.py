"""`export --to c` writes a project that builds as it is and classifies as Python does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from c_network import MODES
from click.testing import CliRunner
from PIL import Image
from skimage import data
from test_c_squeezenet import CAT, random_squeezenet

from benchmarks.c_decoder import WARNINGS
from compress import container
from compress.builtin_models import find_model
from compress.cli.main import main
from compress.data.transforms import to_input, to_pixels
from compress.errors import ConfigError
from compress.export.c_project import c_string, write_c_project
from compress.export.c_runtime import find_compiler, runtime_sources
from compress.model import Model
from compress.networks.modules import to_module

ODD_NAMES = ('a "cat"', "100 % \\n", "what??/ ä")
APP_CALL = f"classifier_classify(pixels, {CAT.height}, {CAT.width}, {4 * CAT.width}, p)"
ROOT = Path(__file__).parents[2]
STREAMING = "-DLOAD_WEIGHTS=0"


def make(folder: Path, *flags: str) -> None:
    """Build; without make and a compiler the tests fail instead of being skipped."""
    done = subprocess.run(
        ["make", "-s", "-B", "-C", folder, f"CFLAGS={' '.join(flags)}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def classify(folder: Path, *words: Path) -> dict[str, float]:
    """Return the probabilities of the best classes."""
    done = subprocess.run([folder / "classify", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    parts = (line.split("%", 1) for line in done.stdout.splitlines())
    return {name.strip(): float(percent) / 100 for percent, name in parts}


def probabilities(model: Model, photo: Image.Image) -> list[float]:
    photos = to_input(to_pixels(photo, model.preprocessing)[None], model.preprocessing)
    with torch.inference_mode():
        values: list[float] = to_module(model)(torch.from_numpy(photos))[0].softmax(0).tolist()
    return values


def refused(*words: object) -> str:
    result = CliRunner().invoke(main, ["export", *map(str, words)])
    assert result.exit_code == 2
    return result.stderr


def test_a_built_in_model_classifies_a_photo_as_in_python(tmp_path):
    model = container.read(find_model("squeezenet"))
    result = CliRunner().invoke(main, ["export", "squeezenet", "--to", "c", "-o", str(tmp_path / "p")])
    assert result.exit_code == 0
    printed = {line.split(": ")[0] for line in result.stdout.splitlines()}
    assert printed == {str(path) for path in (tmp_path / "p").rglob("*") if path.is_file()}
    make(tmp_path / "p", "-O1")
    CAT.save(tmp_path / "cat.ppm")
    found, expected = classify(tmp_path / "p", tmp_path / "cat.ppm"), sorted(probabilities(model, CAT))[::-1]
    assert next(iter(found)) == "Egyptian Mau"
    assert list(found.values()) == pytest.approx(expected[:5], abs=0.0006)
    assert next(iter(classify(tmp_path / "p"))) == "Egyptian Mau"  # the sample


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> tuple[Path, Model]:
    folder = tmp_path_factory.mktemp("project")
    model = replace(random_squeezenet(classes=3), labels=ODD_NAMES)
    container.write(folder / "model.sqz", model, ["context"])
    write_c_project(folder / "model.sqz", folder / "p")
    return folder / "p", model


@pytest.mark.parametrize("flags", [(), (STREAMING,)], ids=MODES)
def test_the_memory_in_the_header_is_enough_and_no_line_has_a_warning(project, tmp_path, flags):
    folder, model = project
    make(folder, *WARNINGS, "-O1", *flags)
    photo = Image.fromarray(data.rocket())
    assert photo.size == (640, 427)
    photo.save(tmp_path / "photo.ppm")
    expected = dict(zip(ODD_NAMES, probabilities(model, photo), strict=True))
    assert classify(folder, tmp_path / "photo.ppm") == pytest.approx(expected, abs=0.0006)


def test_make_with_other_flags_builds_again_and_with_the_same_does_not(project):
    folder, _ = project

    def compiles_again(flags: str) -> bool:
        command = ["make", "-C", folder, "main.o", f"CFLAGS={flags}"]
        return "-c main.c" in subprocess.run(command, capture_output=True, text=True, check=True).stdout

    compiles_again("-O0")
    assert not compiles_again("-O0")
    assert compiles_again(f"-O0 {STREAMING}")
    assert not compiles_again(f"-O0 {STREAMING}")
    compiled = (folder / "main.o").stat().st_mtime_ns
    os.utime(folder / "ppm.h", ns=(compiled + 1, compiled + 1))  # the clock of `touch` may be behind the compiler's
    assert compiles_again(f"-O0 {STREAMING}")


def test_the_code_for_apps_in_the_guide_classifies(project, tmp_path):
    folder, model = project
    (code,) = re.findall(r"```c\n(.*?)```", (ROOT / "docs" / "ship.md").read_text("utf-8"), re.DOTALL)
    reads = f"if (fread(pixels, 1, sizeof pixels, stdin) != sizeof pixels || classifier_open() || {APP_CALL}) return 1;"
    writes = "return fwrite(p, sizeof p, 1, stdout) != 1;"
    main = f"int main(void) {{ static uint8_t pixels[{4 * CAT.width * CAT.height}]; float p[3]; {reads} {writes} }}"
    (tmp_path / "app.c").write_text(f"#include <stdio.h>\n{code}\n{main}\n", "utf-8")
    sources = [tmp_path / "app.c", folder / "model.c", *runtime_sources()]
    includes = [f"-I{folder}", f"-I{folder / 'runtime'}"]
    build = [find_compiler(), *WARNINGS, "-O1", *includes, *sources, "-lm", "-o", tmp_path / "app"]
    subprocess.run(build, check=True)
    with_alpha = CAT.convert("RGBA").tobytes()
    done = subprocess.run([tmp_path / "app"], input=with_alpha, capture_output=True, check=True)
    assert np.frombuffer(done.stdout, np.float32) == pytest.approx(probabilities(model, CAT), abs=1e-5)


TWO_MODELS = """#include "model.h"
#include "second.h"
#include <stdio.h>
int main(void) {
    printf("%d %d %s %s", MODEL_BYTES, SECOND_BYTES, model_classes[0], second_classes[2]);
    return model[0] != second[0];
}
"""


def test_two_models_make_one_program_as_the_readme_says(project, tmp_path):
    first, model = project
    names = ("MODEL_T model.h", "model[", "a second MODEL_T")
    container.write(tmp_path / "other.sqz", replace(model, labels=names), ["huffman"])
    write_c_project(tmp_path / "other.sqz", tmp_path / "p")
    renames = re.findall(r"^ +(sed .*)$", (first / "README.md").read_text("utf-8"), re.MULTILINE)
    subprocess.run(["sh", "-ec", "\n".join(renames)], cwd=tmp_path / "p", check=True)
    (tmp_path / "two.c").write_text(TWO_MODELS)
    sources = [tmp_path / "two.c", first / "model.c", tmp_path / "p" / "second.c"]
    includes = [f"-I{first}", f"-I{first / 'runtime'}", f"-I{tmp_path / 'p'}"]
    subprocess.run([find_compiler(), *WARNINGS, *includes, *sources, "-o", tmp_path / "two"], check=True)
    done = subprocess.run([tmp_path / "two"], capture_output=True, text=True, check=True, encoding="utf-8")
    sizes = [(first.parent / "model.sqz").stat().st_size, (tmp_path / "other.sqz").stat().st_size]
    assert done.stdout == f"{sizes[0]} {sizes[1]} {ODD_NAMES[0]} {names[2]}"


def test_a_program_in_cpp_finds_the_model_on_windows_too(project, tmp_path):
    """Compilers for Windows mangle the names of variables, unless they are declared as C."""
    folder, _ = project
    source, built = tmp_path / "app.cpp", tmp_path / "app.obj"
    source.write_text('#include "model.h"\nextern "C" const void *first() { return model; }\n')
    compiler = [sys.executable, "-m", "ziglang", "c++", "-target", "x86_64-windows-msvc", "-ffreestanding"]
    command = [*compiler, f"-I{folder}", f"-I{folder / 'runtime'}", "-c", source, "-o", built]
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(tmp_path), "ZIG_LOCAL_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, env=os.environ | cache, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"?model@@" not in built.read_bytes()


def test_the_readme_and_cmake_name_what_exists(project):
    folder, _ = project
    readme, header = (folder / "README.md").read_text("utf-8"), (folder / "model.h").read_text("utf-8")
    assert "$" not in readme
    numbers = {name: int(number) for name, number in re.findall(r"#define MODEL_(\w+) (\d+)", header)}
    assert numbers["BYTES"] == (folder.parent / "model.sqz").stat().st_size
    for name in ("BYTES", "WORKSPACE_BYTES", "VALUES", "WEIGHTS_BYTES", "ARENA_BYTES", "STREAMING_ARENA_BYTES"):
        assert f" {numbers[name]:,} " in readme
    for name in re.findall(r"\b\w+\.[ch]\b", (folder / "CMakeLists.txt").read_text("utf-8")):
        assert (folder / name).is_file()
    assert {path.name for path in (folder / "runtime").glob("*.c")} == {path.name for path in runtime_sources()}


def test_a_photo_that_is_none_is_refused_with_one_line(project, tmp_path):
    folder, _ = project
    make(folder, "-O0")
    (tmp_path / "photo.ppm").write_bytes(b"P3")
    for path, message in (
        (tmp_path / "photo.ppm", "not a binary PPM or PGM file"),
        (tmp_path / "none", "cannot be read"),
    ):
        done = subprocess.run([folder / "classify", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, f"{path}: {message}\n")


def test_a_network_that_c_does_not_run_is_refused(tmp_path):
    container.write(tmp_path / "model.sqz", replace(random_squeezenet(), architecture="networks:make"))
    message = refused(tmp_path / "model.sqz", "--to", "c", "-o", tmp_path / "p")
    assert "the runtime in C cannot run this network" in message
    assert "squeeze-compress describe MODEL --factory FUNCTION says why" in message
    assert "squeeze-compress decompress -o model.onnx" in message
    assert not (tmp_path / "p").exists()


def test_without_a_compiler_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="install gcc or clang"):
        write_c_project(find_model("squeezenet"), tmp_path / "p")


def test_a_folder_with_files_is_left_alone_without_force(tmp_path):
    (tmp_path / "mine").write_text("mine")
    message = refused("squeezenet", "--to", "c", "-o", tmp_path)
    assert message.strip().endswith("exists already; overwrite it with --force, or name another folder")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("text", ["plain", 'a "b"', "back\\slash", "??/", "ä\n\0007", "\x7f"])
def test_a_string_literal_is_what_c_reads(text):
    literal = c_string(text)
    assert literal.isascii()
    assert "??" not in literal
    octal = re.sub(r"\\([0-7]{3})", lambda found: f"\\x{int(found[1], 8):02x}", literal[1:-1].replace("\\?", "?"))
    assert octal.encode().decode("unicode_escape").encode("latin-1").decode() == text


def test_the_wheel_has_the_sources():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert settings["force-include"]["runtime/c"] == "compress/c_runtime"
