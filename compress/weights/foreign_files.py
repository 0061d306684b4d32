"""Files that are no checkpoints, by their content: what they are, and what to do."""

from __future__ import annotations

import zipfile
from codecs import getincrementaldecoder
from contextlib import suppress
from pathlib import Path

SAVE_STATE = "save the state dictionary: torch.save(network.state_dict(), 'network.pth')"
"""Advice for a file without a state dictionary."""

_DOWNLOAD = "copy or download it again"
_OTHER_PROGRAM = (
    f", whose tensors have other names and layouts; load them into the network in PyTorch, and {SAVE_STATE}"
)
_TO_ONE_FILE = (
    "a distributed checkpoint; convert it to one file: python -m torch.distributed.checkpoint.format_utils "
    "dcp_to_torch FOLDER network.pth"
)

_STARTS = {
    b"\x1f\x8b": "is compressed by gzip; decompress it first",
    b"BZh": "is compressed by bzip2; decompress it first",
    b"\xfd7zXZ": "is compressed by xz; decompress it first",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd; decompress it first",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file; run git lfs pull",
    b"\x89HDF": f"is an HDF5 file, as Keras writes it{_OTHER_PROGRAM}",
    b"GGUF": f"is a GGUF file{_OTHER_PROGRAM}",
    b"\x93NUMPY": f"is an array of numpy; {SAVE_STATE}",
    b"\x89sqz": "is a compressed file of this program; use squeeze-compress decompress FILE -o network.pth",
}
_OTHER_SUFFIXES = (".onnx", ".tflite", ".pb", ".msgpack", ".t7", ".caffemodel", ".pdparams", ".mlmodel", ".keras")
_IN_ZIP = {
    "archive_format": f"is a program of torch.export, not weights; {SAVE_STATE}",
    "serialized_exported_program.json": f"is a program of torch.export, not weights; {SAVE_STATE}",
    "/constants.pkl": f"is a TorchScript program, not weights; {SAVE_STATE}",
    "model.weights.h5": f"is a Keras file{_OTHER_PROGRAM}",
    ".npy": f"holds arrays of numpy; {SAVE_STATE}",
}
"""Problems of zip archives, by the end of a name in them."""

TORCH_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9c"
"""First bytes of a file of `torch.save` before torch 1.6: the pickle of a number."""

_TAR_PLACE, _TAR = 257, b"ustar"
_START_BYTES, _SHOWN_CHARACTERS = 512, 40


def foreign_problem(path: Path) -> str:
    """Return what a file is instead of a checkpoint, and the remedy, as the end of a message; empty: unknown."""
    with path.open("rb") as stream:
        start = stream.read(_START_BYTES)
    if not start:
        return f"is empty; {_DOWNLOAD}"
    if problem := next((problem for bytes_, problem in _STARTS.items() if start.startswith(bytes_)), ""):
        return problem
    if start[_TAR_PLACE:].startswith(_TAR):
        return "is a tar archive; extract the checkpoint from it"
    if path.suffix.lower() == ".distcp":
        return f"is a part of {_TO_ONE_FILE}"
    if path.suffix.lower() in _OTHER_SUFFIXES or start[4:8] == b"TFL3":
        return f"is a file of another program{_OTHER_PROGRAM}"
    if start.startswith(b"PK\x03\x04"):
        return _zip_problem(path)
    if start.startswith(b"\x80") and not start.startswith(TORCH_BEFORE_1_6):
        return f"is a pickle that torch.save did not write; load it in Python, and {SAVE_STATE}"
    return _text_problem(start)


def folder_problem(folder: Path) -> str:
    """Return what a folder is instead of a file, and the remedy, as the end of a message."""
    return f"is {_TO_ONE_FILE}" if (folder / ".metadata").is_file() else "is a folder; name a file in it"


def _zip_problem(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError):
        return f"is incomplete or damaged; {_DOWNLOAD}"
    for end, problem in _IN_ZIP.items():
        if any(name.endswith(end) for name in names):
            return problem
    is_of_torch = any(name.endswith("data.pkl") for name in names)
    return "" if is_of_torch else "is a zip archive; extract the checkpoint from it"


def _text_problem(start: bytes) -> str:
    """Return the problem of a text, such as the error page of a server."""
    with suppress(UnicodeDecodeError):
        text = getincrementaldecoder("utf-8-sig")().decode(start).strip()  # the last character may be cut off
        if text and "".join(text.split()).isprintable():
            kind = "a web page, perhaps the error of a download" if text.startswith("<") else "text"
            return f"is {kind}, not weights; it begins with {text.splitlines()[0][:_SHOWN_CHARACTERS]!r}; {_DOWNLOAD}"
    return ""
