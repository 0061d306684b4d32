"""Makes a trained SqueezeNet tiny without losing accuracy, and proves the accuracy of the file.

`load` gives a torch module, `read` numpy arrays, `run` does what `squeeze-compress run` does, and `compare` what
`squeeze-compress compare` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from compress.evaluation.comparison_record import Comparison
    from compress.pipeline import Result

__version__ = "0.1.0"

__all__ = ["__version__", "compare", "load", "read", "run"]

# Imports are made inside: reading arrays must not wait for torch, nor need it.


def read(path: str | PathLike[str]) -> dict[str, NDArray[np.float32]]:
    """Read the float32 weights of a `.sqz` file, by torchvision's tensor names; torch is not imported.

    Raises:
        FormatError: the file is not what the format says.
    """
    from compress import container  # noqa: PLC0415

    return {name: tensor.to_dense() for name, tensor in container.read(Path(path)).tensors.items()}


def load(path: str | PathLike[str], factory: str | None = None) -> nn.Module:
    """Read a `.sqz` file as a ready torch module in evaluation mode.

    Photos go in as `compress.data.transforms` prepares them with the file's own preprocessing.

    Args:
        path: the file.
        factory: `package.module:function`, where a function of your own makes the file's network: it is imported and
            called only if you name it.
    Raises:
        FormatError: the file is not what the format says.
        WeightsError: its tensors are not those of the network that it names.
        ConfigError: the file names another function, or it cannot be imported.
    """
    from compress import container  # noqa: PLC0415
    from compress.model import trusting  # noqa: PLC0415
    from compress.networks.modules import to_module  # noqa: PLC0415

    return to_module(trusting(container.read(Path(path)), factory))


def compare(
    a: str | PathLike[str],
    b: str | PathLike[str],
    data: str | PathLike[str],
    *,
    limit: int | None = None,
    architecture: str | None = None,
    factory: str | None = None,
    device: str | None = None,
) -> Comparison:
    """Run two models on the same photos and tell them apart, as `squeeze-compress compare` does.

    Args:
        a: a `.sqz` file, a checkpoint, or `embedded`; what B is measured against.
        b: the same.
        data: photos, labelled or not: a folder, a CSV file, or `samples` for those that are installed.
        limit: at most so many photos, evenly spread.
        architecture: the network of a checkpoint; by default the one that its first layer fits.
        factory: the function of your own that makes the files' networks, see `load`.
        device: where networks run; a GPU if there is one, unless told otherwise.
    Raises:
        SqueezeError: a model or the photos cannot be used, or the two have different numbers of classes.
    """
    from compress.evaluation.compare import compare_models  # noqa: PLC0415

    paths = (str(path) for path in (a, b, data))
    return compare_models(*paths, limit=limit, architecture=architecture, factory=factory, device=device)


def run(
    pipeline: str | PathLike[str],
    out: str | PathLike[str],
    overrides: Iterable[str] = (),
    *,
    cache: str | PathLike[str] | None = None,
    fresh: bool = False,
    device: str | None = None,
) -> Result:
    """Run a pipeline, as `squeeze-compress run` does.

    Args:
        pipeline: a YAML file, or the name of a ready pipeline.
        out: folder of the results.
        overrides: `KEY=VALUE` each.
        cache: folder for what runs share, such as what stages left; `out`/cache if None.
        fresh: do everything anew, whatever the cache has.
        device: where networks run; a GPU if there is one, unless told otherwise.
    Under `torchrun`, the processes do it together, and all return the same.

    Raises:
        SqueezeError: it failed. A missed goal is no failure: see `Result.goal_met`.
    """
    from compress import pipeline as pipelines  # noqa: PLC0415
    from compress.builtin_pipelines import find_pipeline  # noqa: PLC0415
    from compress.pipeline.run_record import as_command  # noqa: PLC0415
    from compress.runtime.devices import find_device  # noqa: PLC0415
    from compress.runtime.distributed import joined, own_device  # noqa: PLC0415

    given = tuple(overrides)
    spec = pipelines.read_pipeline(find_pipeline(str(pipeline)), given)
    place = find_device(own_device(device))
    with joined(place) as ranks:
        return pipelines.run(
            spec,
            Path(out),
            cache=Path(cache) if cache else None,
            fresh=fresh,
            command=as_command(str(pipeline), None, given),
            device=str(place),
            ranks=ranks,
        )
