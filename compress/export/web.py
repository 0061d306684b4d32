"""Export of a model as a web page, which runs the network in the browser with the runtime in C."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

from PIL import Image

from compress import container
from compress.container.inspection import inspect_file
from compress.data.package_files import package_file
from compress.data.transforms import read_photo
from compress.errors import ConfigError
from compress.export.c_runtime import WHY_NOT
from compress.networks.network_class_names import default_class_names
from compress.runtime.atomic_files import write_files_atomically

_PAGE = Path(__file__).with_name("web_page")
_FILES = ("index.html", "style.css", "page.js", "squeeze.js", "squeeze.d.ts", "worker.js")
_RUNTIME = "squeeze.wasm"

_SAMPLES = {
    "cat": ("skimage", "data", "chelsea.png"),
    "coffee": ("skimage", "data", "coffee.png"),
    "motorcycle": ("skimage", "data", "motorcycle_left.png"),
}
"""Photos in the public domain, in the wheel of scikit-image."""

_SAMPLE_SIDE = 512
"""Maximum side of a sample, in pixels: more than networks see, and fast to download."""


def write_web_page(model: Path, folder: Path) -> list[Path]:
    """Write a page that classifies photos with a `.sqz` file: `index.html` and all that it needs. Other files stay.

    Returns:
        the files.
    Raises:
        FormatError: `model` is not a `.sqz` file, or is damaged.
        ConfigError: the runtime in C cannot run its network.
        DataError: a sample photo, or the package with ImageNet's class names, is missing.
        OSError: a file cannot be written.
    """
    files = {name: _PAGE.joinpath(name).read_bytes() for name in _FILES}
    files[f"{_RUNTIME}.gz"] = gzip.compress(_PAGE.joinpath(_RUNTIME).read_bytes(), mtime=0)
    files["model.sqz"] = _with_class_names(model)
    files |= {f"samples/{name}.jpg": _sample(package_file(*parts)) for name, parts in _SAMPLES.items()}
    return write_files_atomically(folder, files)


def _with_class_names(path: Path) -> bytes:
    """Return a model file with class names: its own, or those that squeeze-compress shows for it."""
    inspection = inspect_file(path)
    if not inspection.runs_in_c:
        raise ConfigError(
            f"the runtime in C cannot run the network {inspection.model.architecture}, whose file has no program: "
            f"{WHY_NOT}; run it elsewhere by: squeeze-compress decompress MODEL -o model.onnx",
            file=path,
        )
    model, data = inspection.model, path.read_bytes()
    names = model.labels or default_class_names(model.architecture, model.classes)
    return container.with_labels(data, names)


def _sample(path: Path) -> bytes:
    photo = read_photo(path)
    photo.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=85, optimize=True)
    return stream.getvalue()
