"""A C project with a model and the runtime: `squeeze-compress export --to c`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image, ImageOps

from compress import container
from compress.data.package_files import package_file
from compress.export.c_runtime import CMemory, measure_memory, runtime_sources, sources_folder
from compress.networks.network_class_names import class_names
from compress.runtime.atomic_files import write_files_atomically

_TEMPLATE = Path(__file__).with_name("c_template")
_SAMPLE_SIDE = 96
"""Pixels. The network resizes photos; a small sample needs little flash."""

_BYTES_PER_LINE = 32


def write_c_project(model: Path, folder: Path) -> list[Path]:
    """Write a project that builds as it is with make or CMake.

    Its files are the runtime, the model and its class names as C arrays, a sample photo, a program that classifies
    photos, and a README with the memory that the model needs.

    Args:
        model: a `.sqz` file.
        folder: is made if it is missing; each file is written atomically.
    Returns:
        the files.
    Raises:
        FormatError: the model breaks the format.
        ConfigError: the network does not run in C, or there is no C compiler.
        OSError: a file cannot be written.
    """
    decoded = container.read(model)
    memory = measure_memory(model)
    files = {
        "model.h": _model_header(model.stat().st_size, decoded.classes, memory),
        "model.c": _model_source(model.read_bytes(), class_names(decoded)),
        "sample.c": _sample_source(),
        "README.md": _readme(model, memory),
    }
    texts = {name: text.encode() for name, text in files.items()}
    copies = {path.name: path for path in _TEMPLATE.iterdir() if path.name != "README.md"}
    copies["ppm.h"] = sources_folder() / "classify" / "ppm.h"
    copies |= {f"runtime/{path.name}": path for path in (*runtime_sources(), *sources_folder().glob("*.h"))}
    return write_files_atomically(folder, texts | {name: path.read_bytes() for name, path in copies.items()})


def _model_header(file_bytes: int, classes: int, memory: CMemory) -> str:
    numbers = {"BYTES": file_bytes, "CLASSES": classes, **{name.upper(): value for name, value in vars(memory).items()}}
    lines = "\n".join(f"#define MODEL_{name} {value}" for name, value in numbers.items())
    return f"""/* The model, and the memory that it needs: see README.md. */
#ifndef MODEL_H
#define MODEL_H

#include "sqz_network.h"

{lines}

#ifdef __cplusplus
extern "C" {{
#endif

extern const uint8_t model[MODEL_BYTES]; /* the .sqz file */
extern const char *const model_classes[MODEL_CLASSES];
extern const sqz_photo sample;

#ifdef __cplusplus
}}
#endif

#endif
"""


def _model_source(data: bytes, classes: Sequence[str]) -> str:
    names = ",\n".join(map(c_string, classes))
    return f"""#include "model.h"

const char *const model_classes[MODEL_CLASSES] = {{
{names}}};

const uint8_t model[MODEL_BYTES] = {{
{_c_bytes(data)}}};
"""


def _sample_source() -> str:
    """Return the cat of scikit-image."""
    with Image.open(package_file("skimage", "data", "chelsea.png")) as photo:
        pixels = np.asarray(ImageOps.fit(photo.convert("RGB"), (_SAMPLE_SIDE, _SAMPLE_SIDE)))
    return f"""/* A photo of a cat. Replace it by what your camera sees. */
#include "model.h"

static const uint8_t pixels[{pixels.size}] = {{
{_c_bytes(pixels.tobytes())}}};

const sqz_photo sample = {{pixels, {_SAMPLE_SIDE}, {_SAMPLE_SIDE}, 3, 3 * {_SAMPLE_SIDE}}};
"""


def _readme(model: Path, memory: CMemory) -> str:
    template = Template((_TEMPLATE / "README.md").read_text("utf-8"))
    numbers = {
        **vars(memory),
        "values_bytes": memory.values_bytes,
        "loaded_bytes": memory.loaded_bytes,
        "streaming_bytes": memory.streaming_bytes,
        "file_bytes": model.stat().st_size,
        "sample_bytes": 3 * _SAMPLE_SIDE**2,
    }
    return template.substitute({name: f"{number:,}" for name, number in numbers.items()}, model=model.name)


def _c_bytes(data: bytes) -> str:
    """Return the elements of an array, in lines."""
    lines = (data[start : start + _BYTES_PER_LINE] for start in range(0, len(data), _BYTES_PER_LINE))
    return ",\n".join(",".join(map(str, line)) for line in lines)


def c_string(text: str) -> str:
    """Return a string literal in ASCII; other characters are escaped UTF-8."""
    plain = (chr(byte) if chr(byte).isprintable() and byte < 0x7F else f"\\{byte:03o}" for byte in text.encode())
    # A `?` may begin a trigraph.
    escaped = ("\\" + each if each in '"\\?' and len(each) == 1 else each for each in plain)
    return '"' + "".join(escaped) + '"'
