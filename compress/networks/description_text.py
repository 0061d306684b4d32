"""The network, preprocessing and class names of a model as text, for the metadata of exported weights."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

import numpy as np

from compress import container
from compress.errors import FormatError
from compress.model import Model
from compress.tensors.forms import Dense

METADATA_KEY = "squeeze-compress"
"""Name of the text in the metadata."""


def description_text(model: Model) -> str:
    """Return a `.sqz` file of the model with empty tensors, in base64."""
    names = dict.fromkeys(model.tensors, Dense(np.zeros(0, np.float32)))
    return base64.b64encode(container.encode(replace(model, tensors=names))).decode()


def parse_description(text: str) -> Model:
    """Return the model that `description_text` was given, with empty tensors.

    Raises:
        FormatError: the text is damaged.
    """
    try:
        return container.decode(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise FormatError(f"the text {METADATA_KEY!r} in the metadata is not base64") from error
