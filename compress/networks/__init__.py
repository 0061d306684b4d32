"""Networks: their modules, their weights and the links between their layers.

A weight source (`weight_sources.py`) returns a `Model`; `modules` turns a `Model` into a torch module and back. A
network is a SqueezeNet or made by the user's function (`factory`, `user_network`). `channel_graph` finds which layer
reads which channel.
"""
