"""A C project with a model and the runtime: `squeeze-compress export --to c`."""

from __future__ import annotations

from pathlib import Path
from string import Template

from PIL import Image, ImageOps

from compress import container
from compress.data.package_files import package_file
from compress.export.c_runtime import CMemory, measure_memory, runtime_sources, sources_folder
from compress.networks.network_class_names import class_names
from compress.runtime.atomic_files import write_files_atomically

_TEMPLATE = Path(__file__).with_name("c_template")
_SAMPLE_SIDE = 96
"""Pixels. The network resizes photos; a small sample needs little flash."""

_SAMPLE_BYTES = 3 * _SAMPLE_SIDE**2

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
    decoded, data = container.read(model), model.read_bytes()
    memory = measure_memory(model)
    numbers = {"bytes": len(data), "classes": decoded.classes, **vars(memory)}
    templates: dict[str, dict[str, object]] = {
        "model.h": {"numbers": "\n".join(f"#define MODEL_{key.upper()} {each}" for key, each in numbers.items())},
        "model.c": {"classes": ",\n".join(map(c_string, class_names(decoded))), "bytes": _c_bytes(data)},
        "sample.c": {"count": _SAMPLE_BYTES, "pixels": _c_bytes(_sample_pixels()), "side": _SAMPLE_SIDE},
        "README.md": {"model": model.name, **_memory_text(len(data), memory)},
    }
    files = {path.name: path.read_bytes() for path in _TEMPLATE.iterdir()}
    for name, values in templates.items():
        files[name] = Template(files[name].decode()).substitute(values).encode()
    files["ppm.h"] = sources_folder().joinpath("classify", "ppm.h").read_bytes()
    files |= {f"runtime/{path.name}": path.read_bytes() for path in (*runtime_sources(), *sources_folder().glob("*.h"))}
    return write_files_atomically(folder, files)


def _sample_pixels() -> bytes:
    """Return the cat of scikit-image."""
    with Image.open(package_file("skimage", "data", "chelsea.png")) as photo:
        return ImageOps.fit(photo.convert("RGB"), (_SAMPLE_SIDE, _SAMPLE_SIDE)).tobytes()


def _memory_text(file_bytes: int, memory: CMemory) -> dict[str, str]:
    """Return numbers of bytes by their names in the README."""
    numbers = {
        **vars(memory),
        "values_bytes": memory.values_bytes,
        "loaded_bytes": memory.loaded_bytes,
        "streaming_bytes": memory.streaming_bytes,
        "file_bytes": file_bytes,
        "sample_bytes": _SAMPLE_BYTES,
    }
    return {name: f"{number:,}" for name, number in numbers.items()}


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
