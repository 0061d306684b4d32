"""Worker in NNCodec's environment, which has no packages of this project.

`python -m benchmarks.nncodec_worker WEIGHTS.npz FOLDER REPEATS QP...` encodes and decodes the weights at each
quantization parameter. It writes the decoded weights, `qpQP.npz`, and `results.json` into the folder.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nncodec import nn

from benchmarks.timing import timed


def main(weights: str, folder: str, repeats: str, *qps: str) -> None:
    """Encode and decode at each quantization parameter."""
    arrays = dict(np.load(weights))
    points = []
    for qp in map(int, qps):
        options = {"qp": qp, "results": folder, "verbose": False}
        data, encode = timed(partial(nn.encode, arrays, options), int(repeats))
        decoded, decode = timed(partial(nn.decode, data, {"verbose": False}), int(repeats))
        values: dict[str, Any] = {name: np.asarray(value) for name, value in decoded.items()}
        np.savez(Path(folder) / f"qp{qp}.npz", **values)
        points.append({"qp": qp, "file_bytes": len(data), "encode_seconds": encode, "decode_seconds": decode})
    (Path(folder) / "results.json").write_text(json.dumps(points), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
