"""Weight tensors between the float network and the file: `Dense`, `Pruned` and `Shared`, all immutable.

The room needs numpy alone.
"""

from __future__ import annotations
