"""Photos: reading, decoding, labels, preprocessing and augmentation.

A source (`sources.py`) lists photos; its `load` decodes them at a network's input size and returns `Photos`: pixels,
labels and a fingerprint. `transforms` turns pixels into network input. `augmentation` makes random crops and shifts;
only this module imports torch.
"""
