"""Distillation: what it trains, what it keeps, and how it resumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from divergence import divergence
from pydantic import ValidationError
from tiny_model import WEIGHTS, values

from compress.container.file import weights_sha256
from compress.errors import DataError, PassError
from compress.networks.modules import NETWORKS
from compress.passes import Distill, Prune, Quantize, Share
from compress.tensors.forms import Dense, Shared


def disturbed(model):
    """The model with each codebook entry changed by up to 40% at random."""
    random = np.random.default_rng(2)
    changed = {}
    for name in WEIGHTS:
        tensor = model.tensors[name]
        codebook = (tensor.codebook * random.uniform(0.6, 1.4, len(tensor.codebook))).astype(np.float16)
        changed[name] = replace(tensor, codebook=codebook.astype(np.float32))
    return model.with_tensors(changed)


@pytest.fixture
def shared(tiny, context):
    """A pruned and shared network with disturbed codebooks."""
    return disturbed(Share(bits=4)(Prune(sparsity=0.3)(tiny, context), context))


class TestTraining:
    @pytest.mark.parametrize("lambda_", [None, 1e-9])
    def test_disturbed_codebooks_are_recovered(self, tiny, context, lambda_):
        model = disturbed(Share(bits=4, lambda_=lambda_)(Prune(sparsity=0.3)(tiny, context), context))
        trained = Distill(steps=60, batch=20)(model, context)
        assert divergence(trained, context) < 0.5 * divergence(model, context)

    def test_weights_on_levels_stay_and_biases_on_levels_move_to_better_levels(self, tiny, context):
        quantized = Quantize(lambda_=3e-5)(tiny, context)
        biases = {name: quantized.tensors[name] for name in tiny.bias_names().values()}
        mistaken = quantized.with_tensors(
            {name: replace(bias, indices=np.roll(bias.indices, 1)) for name, bias in biases.items()}
        )
        trained = Distill(steps=60, batch=20, learning_rate=0.3)(mistaken, context)
        for name in WEIGHTS:
            assert trained.tensors[name] is quantized.tensors[name]
        for name, bias in biases.items():
            assert np.array_equal(trained.tensors[name].codebook, bias.codebook)
        assert divergence(trained, context) < 0.5 * divergence(mistaken, context)

    def test_more_steps_reduce_the_divergence(self, shared, context):
        few, many = (divergence(Distill(steps=steps, batch=20)(shared, context), context) for steps in (5, 80))
        assert many < few

    def test_dense_weights_are_trained(self, tiny, context):
        noise = np.random.default_rng(3)
        dense = tiny.with_tensors(
            {
                n: Dense(values(tiny, n) * noise.uniform(0.8, 1.2, tiny.tensors[n].shape).astype(np.float32))
                for n in WEIGHTS
            }
        )
        trained = Distill(steps=60, batch=20)(dense, context)
        assert divergence(trained, context) < 0.5 * divergence(dense, context)
        assert isinstance(trained.tensors["0.weight"], Dense)

    def test_pruned_weights_stay_pruned_while_the_others_adapt(self, tiny, context):
        pruned = Prune(sparsity=0.5)(tiny, context)
        trained = Distill(steps=60, batch=20)(pruned, context)
        assert divergence(trained, context) < 0.5 * divergence(pruned, context)
        for name in WEIGHTS:
            assert np.array_equal(trained.tensors[name].mask, pruned.tensors[name].mask)
            assert not values(trained, name)[~pruned.tensors[name].mask].any()

    def test_codebooks_adapt_to_pruning(self, tiny, context):
        shared = Share(bits=4)(Prune(sparsity=0.5)(tiny, context), context)
        trained = Distill(steps=100, batch=20, learning_rate=0.3)(shared, context)
        assert divergence(trained, context) < 0.3 * divergence(shared, context)

    def test_biases_are_trained_at_their_precision(self, shared, context):
        trained = Distill(steps=5)(shared, context)
        for name in ("0.bias", "2.bias", "4.bias"):
            assert not np.array_equal(values(trained, name), values(shared, name))
            assert trained.tensors[name].stored_as == "float16"

    def test_the_gradients_of_all_weights_of_an_entry_are_summed(self, shared, context):
        """One step of Adam moves each entry by the learning rate, against the sign of its summed gradient."""
        distill = Distill(steps=1, batch=60, learning_rate=1.0)
        step = distill(to_float32(shared), context)
        network = context.network(shared)
        inputs = context.inputs(np.random.default_rng(context.stage_seed).permutation(60))
        mirrored = torch.from_numpy(np.random.default_rng([context.stage_seed, 0]).random(60) < 0.5)
        inputs[mirrored] = inputs[mirrored].flip(3)
        with torch.no_grad():
            wanted = context.network(context.reference)(inputs).softmax(1)
        loss = -(wanted * network(inputs).log_softmax(1)).sum(1).mean()
        gradients = torch.autograd.grad(loss, [network.get_parameter(name) for name in WEIGHTS])
        for name, gradient in zip(WEIGHTS, gradients, strict=True):
            tensor = shared.tensors[name]
            summed = np.bincount(tensor.indices.ravel(), gradient.numpy().ravel(), len(tensor.codebook))
            rate = float(np.diff(np.sort(tensor.codebook)).mean())
            clear = np.abs(summed) > 1e-5
            clear[0] = False
            assert clear.sum() > 5
            moved = tensor.codebook - rate * np.sign(summed)
            before_and_after = dict(zip(tensor.indices.ravel(), values(step, name).ravel(), strict=True))
            for index in np.flatnonzero(clear):
                assert before_and_after[index] == pytest.approx(moved[index], abs=1e-3 * rate)


def to_float32(model):
    return model.with_tensors({name: replace(tensor, stored_as="float32") for name, tensor in model.tensors.items()})


class TestResume:
    @pytest.mark.parametrize("kind", ["codebooks", "levels", "dense"])
    def test_an_interrupted_distillation_ends_with_the_same_bits(self, tiny, shared, context, tmp_path, stop_at, kind):
        model = {"codebooks": shared, "levels": Quantize(lambda_=3e-4)(tiny, context), "dense": tiny}[kind]
        distill = Distill(steps=110, batch=8, learning_rate=0.1)
        undisturbed = distill(model, context)
        resumable = replace(context, store=tmp_path)
        stop_at(107)
        with pytest.raises(KeyboardInterrupt):
            distill(model, resumable)
        assert [path.suffix for path in tmp_path.iterdir()] == [".state"]
        done = stop_at(None)
        resumed = distill(model, resumable)
        assert weights_sha256(resumed) == weights_sha256(undisturbed)
        assert resumed.training == undisturbed.training
        assert [step for step, _ in resumed.training.losses] == list(range(1, 111))
        assert done == list(range(100, 110))
        assert not list(tmp_path.iterdir())

    def test_other_models_or_options_do_not_resume(self, tiny, shared, context, tmp_path, stop_at):
        resumable = replace(context, store=tmp_path)
        stop_at(60)
        with pytest.raises(KeyboardInterrupt):
            Distill(steps=70, batch=8)(shared, resumable)
        for distill, model in ((Distill(steps=70, batch=8), tiny), (Distill(steps=71, batch=8), shared)):
            done = stop_at(None)
            distill(model, resumable)
            assert done[0] == 0

    def test_a_damaged_checkpoint_is_ignored(self, shared, context, tmp_path, stop_at):
        resumable = replace(context, store=tmp_path)
        distill = Distill(steps=60, batch=8)
        stop_at(55)
        with pytest.raises(KeyboardInterrupt):
            distill(shared, resumable)
        (state,) = tmp_path.glob("*.state")
        state.write_bytes(state.read_bytes()[:100])
        done = stop_at(None)
        assert weights_sha256(distill(shared, resumable)) == weights_sha256(distill(shared, context))
        assert done[0] == 0


class TestInvariants:
    def test_the_codebook_entry_of_each_weight_stays(self, shared, context):
        trained = Distill(steps=40, learning_rate=0.5)(shared, context)
        for name in WEIGHTS:
            before, after = shared.tensors[name].indices.ravel(), trained.tensors[name].indices.ravel()
            pairs = set(zip(before.tolist(), after.tolist(), strict=True))
            assert len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})
            assert np.array_equal(before == 0, after == 0)

    def test_entry_zero_stays_zero_and_the_others_ascend(self, shared, context):
        trained = Distill(steps=40, learning_rate=0.5)(shared, context)
        for name in WEIGHTS:
            tensor = trained.tensors[name]
            assert isinstance(tensor, Shared)
            assert tensor.codebook[0] == 0
            assert (np.diff(tensor.codebook[1:]) >= 0).all()
            assert tensor.stored_as == "float16"

    def test_the_same_seed_gives_the_same_bits_and_another_does_not(self, shared, context):
        distill = Distill(steps=10, batch=20)
        first = weights_sha256(distill(shared, context))
        torch.manual_seed(99)
        assert weights_sha256(distill(shared, context)) == first
        assert weights_sha256(distill(shared, replace(context, seed=1))) != first
        assert weights_sha256(distill(shared, replace(context, stage="distill again"))) != first

    def test_fewer_photos_than_a_batch_are_enough(self, shared, context, patchwork):
        few = replace(context, calibration=patchwork(3))
        trained = Distill(steps=20, batch=32)(shared, few)
        assert divergence(trained, few) < divergence(shared, few)

    def test_no_photos_are_an_error(self, shared, context, patchwork):
        with pytest.raises(DataError, match=r"distill needs photos, and data\.calibration has none"):
            Distill()(shared, replace(context, calibration=patchwork(0)))

    def test_a_model_without_trainable_tensors_is_an_error(self, tiny, context, monkeypatch):
        monkeypatch.setitem(NETWORKS, "tiny", lambda classes: torch.nn.Sequential(
            torch.nn.Conv2d(3, classes, 3, bias=False), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        ))  # fmt: skip
        weights = np.random.default_rng(0).standard_normal((6, 3, 3, 3)).astype(np.float32)
        model = replace(tiny, tensors={"0.weight": Dense(weights)})
        without_biases = replace(context, reference=model)
        quantized = Quantize(lambda_=1e-4)(model, without_biases)
        with pytest.raises(PassError, match="no tensor can be trained: all weights are on quantization levels"):
            Distill()(quantized, without_biases)

    @pytest.mark.parametrize(
        "huge",
        [
            Dense(np.full((6, 12, 1, 1), 3e38, np.float32)),
            Shared(
                np.float32([0, -3e38, 3e38]), np.arange(72, dtype=np.uint16).reshape(6, 12, 1, 1) % 2 + 1, "float32"
            ),
        ],
        ids=["dense", "shared"],
    )
    def test_a_loss_that_is_not_finite_is_an_error_that_names_the_step(self, tiny, context, huge):
        broken = tiny.with_tensors({"4.weight": huge})
        with pytest.raises(PassError, match=r"the loss is (nan|inf) at step 1 \(allowed: a finite loss\); lower the l"):
            Distill(steps=3)(broken, context)

    def test_a_tensor_without_nonzero_weights_stays_zero(self, tiny, context):
        empty = Share()(Prune(sparsity=0.5, layers={"0.weight": {"sparsity": 1}})(tiny, context), context)
        assert not values(Distill(steps=3)(empty, context), "0.weight").any()


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"batch": 0}, {"learning_rate": 0}, {"learning_rate": -1}, {"epochs": 3}], ids=str
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValidationError):
        Distill(**options)
