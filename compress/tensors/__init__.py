"""Weight tensors: the forms that they take between the float network and the file.

In come numpy arrays: float32 values, masks, codebook indices, exponents of scales. Out go immutable tensors (`Dense`,
`Pruned`, `Shared`) that know their shape, their float32 values and their mask. `levels` maps integer levels to
codebook indices, `scales` turns exponents into powers of 2 ** (1 / 4), and `kernel_transform` is a 3x3 cosine
transform. The room needs numpy alone.
"""

from __future__ import annotations
