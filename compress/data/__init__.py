"""Photos: reading, decoding, labels, preprocessing and augmentation.

A source (`sources.py`) lists the photos that a pipeline or an option names. `collect` decodes them at a network's input
size and returns `Photos`: pixels, labels and a fingerprint. `batches` and `transforms` turn the pixels into network
input, and `augmentation` makes random crops and shifts of them. Only `augmentation` imports torch.
"""
