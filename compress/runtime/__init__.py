"""Services of the machine: compiled loops, threads, processes, devices, atomic files, progress.

Nothing here knows about tensors, photos or pipelines. `jit`, `threads`, `atomic_files` and `progress` import no torch.
"""
