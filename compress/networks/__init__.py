"""Networks: their modules, and the links between their layers.

`modules` turns a `Model` into a torch module and back. A network is a SqueezeNet, one of inverted residual blocks, or
made by the user's function (`factory`). `channel_graph` finds which layer reads which channel.
"""
