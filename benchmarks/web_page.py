"""The exported page in headless Chromium, and ONNX Runtime Web beside it: `python -m benchmarks.web_page`.

Prints the bytes, and the medians of the time to a page that is ready, of decoding the weights, and of a photo. ONNX
Runtime Web runs the same network as a float32 `.onnx` file on one thread, in turn with the page's runtime. npm installs
it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.benchmark_command import benchmark_command
from benchmarks.browser import Browser, chromium, served
from compress import container
from compress.builtin_models import find_model
from compress.errors import ConfigError
from compress.export import write_weights
from compress.export.web import write_web_page

PACKAGE = "onnxruntime-web@1.30.0"
PEER_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
DECODING = "return Number(document.querySelector('#decoding').textContent.replace(/\\D/g, ''))"
IN_TURN = """
const [runs, height, width] = arguments, ours = [], theirs = [];
const { load } = await import("./squeeze.js"), ort = await import("./ort.wasm.min.mjs");
ort.env.wasm.numThreads = 1;
const network = await load("model.sqz"), session = await ort.InferenceSession.create("model.onnx");
const values = Float32Array.from({ length: 3 * height * width }, (_, index) => 60 * Math.sin(index));
const input = new ort.Tensor("float32", values, [1, 3, height, width]);
const photo = await createImageBitmap(await (await fetch("samples/cat.jpg")).blob());
for (let run = 0; run < runs; run++) {
  ours.push((await network.classify(photo)).milliseconds);
  const started = performance.now();
  await session.run({ input });
  theirs.push(performance.now() - started);
}
return [ours, theirs];
"""


def install_peer(folder: Path) -> Path:
    """Return the folder with ONNX Runtime Web's files, installed by npm unless they are there.

    Raises:
        ConfigError: npm is missing or fails.
    """
    files = folder / "node_modules" / "onnxruntime-web" / "dist"
    if not files.is_dir():
        npm = shutil.which("npm")
        if npm is None:
            raise ConfigError("npm is not installed; install it (Debian: apt-get install npm)")
        folder.mkdir(parents=True, exist_ok=True)
        words = [npm, "install", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", str(folder), PACKAGE]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"npm cannot install {PACKAGE}:\n{done.stderr}")
    return files


def opening_milliseconds(address: str, visits: int) -> tuple[float, float]:
    """Return the medians of the time from navigation to a ready page and of decoding, with an empty cache."""
    ready, decoding = [], []
    for _ in range(visits):
        with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
            browser.open(address)
            ready.append(float(str(browser.wait_for("document.body.dataset.ready"))))
            decoding.append(float(str(browser.run(DECODING))))
    return median(ready), median(decoding)


def photo_milliseconds(browser: Browser, runs: int, height: int, width: int) -> tuple[float, float, float]:
    """Return the medians of a photo here and in ONNX Runtime Web, and of their ratio, in the open page.

    Raises:
        ConfigError: the browser refuses.
    """
    answer: Any = browser.result_of(IN_TURN, runs, height, width)
    if isinstance(answer, str):
        raise ConfigError(answer)
    ours, theirs = answer
    ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
    return median(ours), median(theirs), median(ratios)


def total_bytes(folder: Path, pattern: str = "*") -> int:
    """Return the bytes of the files in a folder, without folders in it."""
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


@benchmark_command()
@click.argument("model", default="squeezenet", type=find_model)
@click.option("--out", default="out", show_default=True, type=click.Path(path_type=Path), help="Folder of the peer.")
@click.option("--visits", type=click.IntRange(1), default=5, show_default=True)
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Photos of each program.")
def main(model: Path, out: Path, visits: int, runs: int) -> None:
    """Time the page of MODEL."""
    peer = install_peer(out / "bench" / "onnxruntime-web")
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as address:
        folder = Path(name)
        write_web_page(model, folder)
        click.echo(f"page, runtime and model: {total_bytes(folder):,} bytes")
        ready, decoding = opening_milliseconds(address, visits)
        click.echo(f"ready after {ready:.0f} ms, weights decoded in {decoding:.0f} ms")
        decoded = container.read(model)
        write_weights(decoded, folder / "model.onnx")
        for file in PEER_FILES:
            shutil.copy(peer / file, folder)
        peer_bytes = total_bytes(folder, "ort*") + total_bytes(folder, "model.onnx")
        click.echo(f"ONNX Runtime Web and model.onnx: {peer_bytes:,} bytes")
        preprocessing = decoded.preprocessing
        with chromium(folder / "profile") as browser:
            browser.open(address)
            ours, theirs, ratio = photo_milliseconds(browser, runs, preprocessing.height, preprocessing.width)
        click.echo(f"one photo: {ours:.1f} ms, ONNX Runtime Web {theirs:.1f} ms, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
