"""A network as a program of operations that the runtime in C interprets; docs/format.md, "The program"."""

from __future__ import annotations

from textwrap import shorten

import torch
from torch import Tensor, fx, nn

from compress.codecs.primitives.varint import encode_varint
from compress.container.header import MAX_PROGRAM_BYTES
from compress.errors import first_names
from compress.model import Model, Preprocessing
from compress.networks.compared_output import LOGITS, ComparedOutput, by_channel, compared_tensor
from compress.networks.equivalence import TOLERANCE, relative_difference
from compress.networks.factory import is_factory, output_of
from compress.networks.modules import random_input, stored_tensors, to_native_module
from compress.networks.operations import trace
from compress.networks.program_writer import MAX_MESSAGE, ProgramWriter, UnsupportedError, layer_name
from compress.networks.tracing import is_altered


class NoProgramError(Exception):
    """A network has no program; the message says why."""


def network_program(network: nn.Module, preprocessing: Preprocessing, output: ComparedOutput = LOGITS) -> bytes:
    """Return a network's program; empty if it has none: see `write_program`."""
    try:
        return write_program(network, preprocessing, output)
    except NoProgramError:
        return b""


def write_program(network: nn.Module, preprocessing: Preprocessing, output: ComparedOutput = LOGITS) -> bytes:
    """Return a network's program.

    Args:
        network: in evaluation mode. Its tensors are numbered in the order of `stored_tensors`.
        preprocessing: of its input.
        output: the compared part of its outputs: a program has logits alone.
    Raises:
        NoProgramError: it has other operations or hooks, or `torch.fx` cannot trace it, or what it traces gives other
            outputs, or the program is too large for a file.
    """
    if not output.is_classes:
        raise NoProgramError(f"it returns {output.words}, and C has logits of classes alone")
    for name, module in network.named_modules():
        if is_altered(module):
            raise NoProgramError(f"{layer_name(name)} has hooks, parametrizations or a forward of its own")
    photo = random_input(preprocessing, 1)
    try:
        graph = trace(network, photo.clone(), output)
    except Exception as error:  # the network's own code runs here, and may not support tracing
        problem = shorten(str(error.__cause__ or error), MAX_MESSAGE)
        raise NoProgramError(f"torch.fx cannot trace it: {problem}") from error
    writer = ProgramWriter(network, graph)
    try:
        operations = writer.write()
    except UnsupportedError as error:
        raise NoProgramError(f"C does not have {writer.describe(error.node)}") from error
    _check_outputs(network, graph, photo, output)
    numbers = [len(operations), *(number for operation in operations for number in operation)]
    program = b"".join(encode_varint(number) for number in numbers)
    if len(program) > MAX_PROGRAM_BYTES:
        raise NoProgramError(
            f"its program has {len(program):,} bytes (allowed: up to {MAX_PROGRAM_BYTES:,}), most of them numbers "
            "that no stored tensor has; make them persistent buffers"
        )
    return program


def program_problem(model: Model) -> str:
    """Return why the runtime in C does not run a model's network; empty: it does.

    Raises:
        ConfigError, WeightsError: as `to_native_module`, whose function must be trusted.
    """
    if not is_factory(model.architecture):
        return ""
    try:
        write_program(to_native_module(model), model.preprocessing, output_of(model))
    except NoProgramError as error:
        return str(error)
    return "" if model.program else "its file does not list its operations: write it again with this version"


def _check_outputs(network: nn.Module, graph: fx.Graph, photo: Tensor, output: ComparedOutput) -> None:
    """Check that a graph gives a network's outputs: a trace does not show `torch.autocast`, or a change of a weight."""
    traced = graph.owning_module
    assert traced is not None
    before = {name: tensor.detach().clone() for name, tensor in stored_tensors(network).items()}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            expected = compared_tensor(network(photo.clone()), output).float()
            after = stored_tensors(network)
            changed = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
            actual = by_channel(traced(photo.clone()), output).float()
    except Exception as error:  # the network is the user's code
        raise NoProgramError(f"it fails on a photo of random pixels: {error}") from error
    if changed:
        raise NoProgramError(f"its forward pass changes {first_names(changed)}")
    difference = relative_difference(expected, actual)
    if not difference <= TOLERANCE:
        raise NoProgramError(
            f"its operations in float32 give other outputs, by {difference:.2%} of the largest: its code computes in "
            "another precision (torch.autocast), or depends on the photo"
        )
