"""The pages of runtime/c: their commands build the programs, and their figures are those of the built-in models."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtime" / "c"
DECODER = ("sqz.c", "sqz_codecs.c", "sqz_context.c", "sqz_inflate.c")
USER = """\
#include "sqz.h"
int main(void) {
    static uint8_t workspace[16];
    sqz_file file;
    return (int)sqz_open(&file, workspace, 0, workspace, sizeof workspace) != SQZ_OK ? 0 : 1;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of the runtime, beside a model and a photo."""
    copy = tmp_path_factory.mktemp("runtime") / "c"
    shutil.copytree(RUNTIME, copy)
    shutil.copy(ROOT / "models" / "squeezenet.sqz", copy / "model.sqz")
    Image.fromarray(data.chelsea()).save(copy / "photo.ppm")
    return copy


def output(words: list[str], folder: Path) -> str:
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("page", ["README.md", "network.md"])
def test_the_commands_of_a_page_run_as_printed(page, folder):
    commands = re.findall(r"^ {4}((?:cc|\./).*?)(?: +#.*)?$", (RUNTIME / page).read_text("utf-8"), re.MULTILINE)
    assert [command.split()[0] for command in commands][:1] == ["cc"]
    for command in commands:
        words = [each for word in shlex.split(command) for each in expanded(word, folder)]
        assert output(words, folder) or words[0] == "cc"


def expanded(word: str, folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(word)) if "*" in word else [word]


def test_the_decoder_needs_the_files_that_the_page_names_and_no_library(folder):
    page = " ".join((RUNTIME / "README.md").read_text("utf-8").split())
    assert all(f"`{name}`" in page for name in DECODER)
    (folder / "user").mkdir()
    (folder / "user" / "main.c").write_text(USER)
    output(["cc", "-I.", "user/main.c", *DECODER, "-o", "user/main"], folder)
    assert subprocess.run([folder / "user" / "main"], check=False).returncode == 0


def test_the_workspace_in_the_page_is_that_of_the_models(folder):
    output(["cc", "-O1", "-I.", *expanded("*.c", folder), "dump/sqz_dump.c", "-lm", "-o", "dumper"], folder)
    rows = re.findall(
        r"^\| `(squeezenet[\w-]*)`, .* ([\d,]+) bytes \| (\d+) kB \|$",
        (RUNTIME / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert [name for name, *_ in rows] == ["squeezenet", "squeezenet-500k"]
    for name, file_bytes, kilobytes in rows:
        model = ROOT / "models" / f"{name}.sqz"
        assert file_bytes == f"{model.stat().st_size:,}"
        workspace = re.search(r", workspace (\d+)", output(["./dumper", str(model)], folder))
        assert workspace
        assert round(int(workspace[1]) / 1000) == int(kilobytes)
