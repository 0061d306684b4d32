"""Networks by name, and the way between a `Model` and a torch module."""

from __future__ import annotations
