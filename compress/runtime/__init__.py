"""Services of the machine: compiled loops, threads, processes, devices, atomic files, progress.

Rooms above call these for work that does not depend on what the data mean. A call takes plain values, arrays or
functions and returns their results; nothing here knows about tensors, photos or pipelines. `jit`, `threads`,
`atomic_files` and `progress` import no torch.
"""
