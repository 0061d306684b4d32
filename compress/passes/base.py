"""TODO."""

from __future__ import annotations

from typing import ClassVar, Protocol

from compress.context import Context
from compress.model import Model


class Pass(Protocol):
    """A frozen dataclass of options, called on a model; it never changes its input."""

    kind: ClassVar[str]

    def __call__(self, model: Model, context: Context) -> Model:
        """Return the changed model.

        Raises:
            PassError: the pass cannot do this to this model.
        """
        ...
