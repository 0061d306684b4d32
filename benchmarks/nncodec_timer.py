"""Times NNCodec's decoder in its own environment, for programs that alternate between several decoders.

`python -m benchmarks.nncodec_timer WEIGHTS.npz QP` encodes the weights, decodes them once to warm up and prints the
bytes. Then it answers each line of stdin with the processor seconds of decoding once more.
"""

from __future__ import annotations

import sys
import time
from tempfile import TemporaryDirectory

import numpy as np
from nncodec import nn


def main(weights: str, qp: str) -> None:
    """Encode once, and decode on demand."""
    with TemporaryDirectory() as folder:  # NNCodec writes its file as well
        data = nn.encode(dict(np.load(weights)), {"qp": int(qp), "results": folder, "verbose": False})
    nn.decode(data, {"verbose": False})
    print(len(data), flush=True)
    for _ in sys.stdin:
        started = time.process_time()
        nn.decode(data, {"verbose": False})
        print(time.process_time() - started, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
