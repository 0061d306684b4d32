from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from divergence import divergence
from pydantic import ValidationError

from compress.codecs.primitives.trellis import SMALL_TRELLIS, TRELLIS, follows_trellis, trellis_of
from compress.container.file import weights_sha256
from compress.errors import PassError
from compress.networks.modules import to_module
from compress.passes import Distill, Prune, Quantize, Share
from compress.passes import distill as distill_module
from compress.tensors.forms import Dense, Shared
from compress.tensors.levels import zigzag_levels
from compress.training.distillation_targets import Teacher, blocks_of
from compress.training.parametrizations import in_training, sorted_codebook

WEIGHTS = ("0.weight", "2.weight", "4.weight")


def values(model, name):
    return model.tensors[name].to_dense()


def disturbed(model):
    """Every shared value off by up to two fifths, in both directions."""
    random = np.random.default_rng(2)
    changed = {}
    for name in WEIGHTS:
        tensor = model.tensors[name]
        codebook = (tensor.codebook * random.uniform(0.6, 1.4, len(tensor.codebook))).astype(np.float16)
        changed[name] = replace(tensor, codebook=codebook.astype(np.float32))
    return model.with_tensors(changed)


@pytest.fixture
def shared(tiny, context):
    """A pruned and shared network, its shared values disturbed."""
    return disturbed(Share(bits=4)(Prune(sparsity=0.3)(tiny, context), context))


class TestTraining:
    @pytest.mark.parametrize("scales", ["none", "curvature"])
    def test_shared_values_are_brought_back(self, tiny, context, scales):
        model = disturbed(Share(bits=4, scales=scales)(Prune(sparsity=0.3)(tiny, context), context))
        trained = Distill(steps=60, batch=20)(model, context)
        assert divergence(trained, context) < 0.5 * divergence(model, context)

    def test_weights_on_levels_stay_and_biases_on_levels_go_to_better_ones(self, tiny, context):
        quantized = Quantize(slope=3e-5)(tiny, context)
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

    def test_more_steps_bring_it_closer(self, shared, context):
        few, many = (divergence(Distill(steps=steps, batch=20)(shared, context), context) for steps in (5, 80))
        assert many < few

    def test_weights_that_are_not_shared_are_trained_one_by_one(self, tiny, context):
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

    def test_pruned_weights_stay_pruned_while_the_others_make_up_for_them(self, tiny, context):
        pruned = Prune(sparsity=0.5)(tiny, context)
        trained = Distill(steps=60, batch=20)(pruned, context)
        assert divergence(trained, context) < 0.5 * divergence(pruned, context)
        for name in WEIGHTS:
            assert np.array_equal(trained.tensors[name].mask, pruned.tensors[name].mask)
            assert not values(trained, name)[~pruned.tensors[name].mask].any()

    def test_shared_values_make_up_for_what_is_pruned(self, tiny, context):
        shared = Share(bits=4)(Prune(sparsity=0.5)(tiny, context), context)
        trained = Distill(steps=100, batch=20, learning_rate=0.3)(shared, context)
        assert divergence(trained, context) < 0.3 * divergence(shared, context)

    def test_biases_are_trained_along_at_their_precision(self, shared, context):
        trained = Distill(steps=5)(shared, context)
        for name in ("0.bias", "2.bias", "4.bias"):
            assert not np.array_equal(values(trained, name), values(shared, name))
            assert trained.tensors[name].stored_as == "float16"

    @pytest.mark.parametrize("temperature", [1, 5])
    def test_the_gradients_of_all_weights_of_a_value_are_summed(self, shared, context, temperature):
        """One step of Adam moves each value by the rate, against the sign of its summed gradient."""
        distill = Distill(steps=1, batch=60, learning_rate=1.0, temperature=temperature)
        step = distill(to_float32(shared), context)
        network = context.network(shared)
        inputs = context.inputs(np.random.default_rng(context.stage_seed).permutation(60))
        mirrored = torch.from_numpy(np.random.default_rng([context.stage_seed, 0]).random(60) < 0.5)
        inputs[mirrored] = inputs[mirrored].flip(3)
        with torch.no_grad():
            wanted = (context.network(context.reference)(inputs) / temperature).softmax(1)
        loss = -(wanted * (network(inputs) / temperature).log_softmax(1)).sum(1).mean()
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


class TestLevels:
    @pytest.mark.parametrize("codecs", [("context",), ("huffman",)])
    def test_weights_on_levels_go_to_better_ones_where_they_may(self, tiny, context, codecs):
        context = replace(context, codecs=codecs)
        lost = {"fixed": 0.0, "trained": 0.0}
        for slope in (1.5e-4, 2e-4, 2.5e-4, 3e-4, 3.5e-4):  # one draw of levels can be trained to half, or to more
            quantized = Quantize(slope=slope)(tiny, context)
            for levels in lost:
                trained = Distill(steps=200, batch=20, learning_rate=0.02, levels=levels)(quantized, context)
                lost[levels] += divergence(trained, context)
        assert lost["trained"] < 0.85 * lost["fixed"]
        for name in WEIGHTS:
            before, after = quantized.tensors[name], trained.tensors[name]
            assert after.has_levels
            assert np.array_equal(after.scale(), before.scale())
            assert not values(trained, name)[~before.mask].any()

    @pytest.mark.parametrize("keep_zeros", [True, False])
    @pytest.mark.parametrize("trellis", [TRELLIS, SMALL_TRELLIS])
    def test_levels_on_a_trellis_follow_it_still(self, tiny, context, keep_zeros, trellis, monkeypatch):
        monkeypatch.setattr("compress.passes.quantize.TRELLIS", trellis)  # the small one, as files of before have it
        quantized = Quantize(slope=3e-4)(tiny, replace(context, codecs=("context",)))
        trained = Distill(steps=60, batch=20, learning_rate=0.1, levels="trained", keep_zeros=keep_zeros)(
            quantized, context
        )
        followed = []
        for name in WEIGHTS:
            before, after = (zigzag_levels(model.tensors[name].indices) for model in (quantized, trained))
            assert not np.array_equal(before, after)
            followed.append(trellis_of(before.reshape(len(before), -1)))  # short columns may follow both
            assert follows_trellis(after.reshape(len(after), -1), followed[-1])
        assert any(each is trellis for each in followed)

    def test_zeros_may_be_let_go(self, tiny, context):
        quantized = Quantize(slope=3e-4)(tiny, context)
        trained = Distill(steps=60, batch=20, learning_rate=0.1, levels="trained", keep_zeros=False)(quantized, context)
        assert any(values(trained, name)[~quantized.tensors[name].mask].any() for name in WEIGHTS)

    def test_no_level_is_larger_than_the_largest_before(self, tiny, context):
        quantized = Quantize(slope=3e-4)(tiny, context)
        trained = Distill(steps=60, batch=20, learning_rate=0.5, levels="trained")(quantized, context)
        for name in WEIGHTS:
            assert len(trained.tensors[name].codebook) <= len(quantized.tensors[name].codebook) + 1

    def test_what_a_bit_is_worth_takes_bytes(self, tiny, context):
        quantized = [Quantize(slope=slope)(tiny, context) for slope in (5e-5, 1e-4, 2e-4)]
        free, dear = (
            Distill(steps=100, batch=20, learning_rate=0.05, levels="trained", slope=slope) for slope in (0, 1e-3)
        )
        sizes = [sum(context.file_bytes(distill(each, context)) for each in quantized) for distill in (free, dear)]
        assert sizes[1] < 0.9 * sizes[0]


class TestTargets:
    def test_blocks_learn_their_own_outputs(self, shared, context):
        trained = Distill(steps=60, batch=20, match="blocks")(shared, context)
        assert divergence(trained, context) < 0.5 * divergence(shared, context)

    def test_a_block_is_the_module_that_its_layers_are_part_of(self, squeezenet):
        names = ["features.0.weight", "features.3.squeeze.weight", "features.3.expand1x1.weight", "classifier.1.weight"]
        assert blocks_of(to_module(squeezenet), names) == ["features.0", "features.3", "classifier.1"]

    def test_a_block_learns_from_its_own_output_alone(self, shared, context):
        """Nothing of a later block's error comes back: where that alone is off, nothing else moves."""
        reference = context.reference
        last = shared.tensors["4.weight"]
        model = reference.with_tensors({"4.weight": last})
        trained = Distill(steps=3, batch=20, match="blocks")(model, context)
        for name in ("0.weight", "0.bias", "2.weight", "2.bias"):
            np.testing.assert_array_equal(values(trained, name), values(model, name))
        assert not np.array_equal(values(trained, "4.weight"), values(model, "4.weight"))

    def test_views_train_as_well(self, shared, context):
        trained = Distill(steps=60, batch=20, views=True)(shared, context)
        assert divergence(trained, context) < 0.5 * divergence(shared, context)

    def test_the_float_networks_logits_are_computed_once(self, context):
        asked = []

        class Counting(torch.nn.Module):
            def forward(self, inputs):
                asked.append(len(inputs))
                return inputs.flatten(1)[:, :6]

        teacher, inputs = Teacher(Counting(), 60, 6, None), context.inputs(np.arange(20))
        places, mirrored = np.arange(20), np.arange(20) % 2 == 0
        first = teacher.of_photos(inputs, places, mirrored)
        assert torch.equal(teacher.of_photos(inputs, places, mirrored), first)
        assert torch.equal(first, inputs.flatten(1)[:, :6])
        teacher.of_photos(inputs, places, ~mirrored)
        assert asked == [20, 20]

    def test_labels_are_used_where_asked_for(self, shared, context):
        """Labels that contradict the float network are learned all the same."""
        labels = np.full(60, 3)
        labelled = replace(context, calibration=replace(context.calibration, labels=labels))
        trained = Distill(steps=100, batch=20, learning_rate=0.3, labels=0.9)(shared, labelled)
        inputs = context.inputs(np.arange(60))
        with torch.no_grad():
            right = [(context.network(m)(inputs).argmax(1).numpy() == labels).mean() for m in (shared, trained)]
        assert right[1] > max(0.9, right[0])

    def test_labels_that_the_photos_do_not_have_are_an_error(self, shared, context):
        with pytest.raises(PassError, match="no labels; set it to 0"):
            Distill(labels=0.5)(shared, replace(context, calibration=replace(context.calibration, labels=None)))

    def test_labels_are_no_matter_of_blocks(self):
        with pytest.raises(ValidationError, match="match: logits"):
            Distill(labels=0.5, match="blocks")


class TestCoefficients:
    """Of kernels, where these are what is shared."""

    @pytest.mark.parametrize("levels", [True, False])
    @pytest.mark.parametrize("codebook", ["of levels", "another"])
    def test_what_is_trained_stands_for_the_kernels(self, tiny, context, levels, codebook):
        tensor = Quantize(slope=1e-4)(tiny, context).tensors["2.weight"]
        assert tensor.coefficient_exponents is not None
        if codebook == "another":
            tensor = sorted_codebook(replace(tensor, codebook=np.float32(2) * tensor.codebook))
        trained = in_training("2.weight", tensor, torch.device("cpu"), levels=levels, keep_zeros=False)
        np.testing.assert_allclose(trained.dense().detach().numpy(), tensor.to_dense(), atol=1e-6)
        assert np.array_equal(trained.tensor("2.weight").to_dense(), tensor.to_dense())

    def test_levels_of_them_are_trained(self, tiny, context):
        quantized = Quantize(slope=3e-4)(tiny, context)
        trained = Distill(steps=60, batch=20, levels="trained", learning_rate=0.1)(quantized, context)
        before, after = (model.tensors["2.weight"] for model in (quantized, trained))
        assert np.array_equal(before.coefficient_exponents, after.coefficient_exponents)
        assert (before.indices != after.indices).any()
        assert divergence(trained, context) < 0.9 * divergence(quantized, context)


class TestResume:
    @pytest.mark.parametrize("kind", ["codebooks", "levels", "plain"])
    def test_one_that_is_interrupted_ends_with_the_same_bits(self, tiny, shared, context, tmp_path, monkeypatch, kind):
        model = {"codebooks": shared, "levels": Quantize(slope=3e-4)(tiny, context), "plain": tiny}[kind]
        distill = Distill(steps=110, batch=8, levels="trained", learning_rate=0.1)
        undisturbed = weights_sha256(distill(model, context))
        kept = replace(context, store=tmp_path)
        stop_at(monkeypatch, 107)
        with pytest.raises(KeyboardInterrupt):
            distill(model, kept)
        assert {path.suffix for path in tmp_path.iterdir()} == {".state", ".data"}
        done = stop_at(monkeypatch, None)
        assert weights_sha256(distill(model, kept)) == undisturbed
        assert done == list(range(100, 110))
        assert not list(tmp_path.iterdir())

    def test_nothing_is_taken_up_by_another_model_or_with_other_options(
        self, tiny, shared, context, tmp_path, monkeypatch
    ):
        kept = replace(context, store=tmp_path)
        stop_at(monkeypatch, 60)
        with pytest.raises(KeyboardInterrupt):
            Distill(steps=70, batch=8)(shared, kept)
        for distill, model in ((Distill(steps=70, batch=8), tiny), (Distill(steps=71, batch=8), shared)):
            done = stop_at(monkeypatch, None)
            distill(model, kept)
            assert done[0] == 0

    def test_a_damaged_state_is_begun_anew(self, shared, context, tmp_path, monkeypatch):
        kept = replace(context, store=tmp_path)
        distill = Distill(steps=60, batch=8)
        stop_at(monkeypatch, 55)
        with pytest.raises(KeyboardInterrupt):
            distill(shared, kept)
        (state,) = tmp_path.glob("*.state")
        state.write_bytes(state.read_bytes()[:100])
        done = stop_at(monkeypatch, None)
        assert weights_sha256(distill(shared, kept)) == weights_sha256(distill(shared, context))
        assert done[0] == 0


def stop_at(monkeypatch, last):
    """Have training stop as by Ctrl-C at a step; return the list in which the steps done will be."""
    done, step = [], distill_module._Training.step
    step = getattr(step, "undisturbed", step)

    def stopped(self, number, places):
        if number == last:
            raise KeyboardInterrupt
        done.append(number)
        step(self, number, places)

    stopped.undisturbed = step
    monkeypatch.setattr(distill_module._Training, "step", stopped)
    return done


class TestPromises:
    def test_weights_that_shared_a_value_still_do_and_no_others(self, shared, context):
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

    def test_the_input_is_not_changed(self, shared, tiny, context):
        before = weights_sha256(shared), weights_sha256(tiny)
        Distill(steps=3)(shared, context)
        assert (weights_sha256(shared), weights_sha256(tiny)) == before

    def test_fewer_photos_than_a_batch_are_enough(self, shared, context, patchwork):
        few = replace(context, calibration=patchwork(3))
        trained = Distill(steps=20, batch=32)(shared, few)
        assert divergence(trained, few) < divergence(shared, few)

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
        with pytest.raises(PassError, match=r"the loss is (nan|inf) at step 1; lower the learning_rate"):
            Distill(steps=3)(broken, context)

    def test_a_tensor_of_which_nothing_is_kept_stays_zero(self, tiny, context):
        empty = Share()(Prune(sparsity=0.5, layers={"0.weight": {"sparsity": 1}})(tiny, context), context)
        assert not values(Distill(steps=3)(empty, context), "0.weight").any()


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"batch": 0}, {"learning_rate": 0}, {"learning_rate": -1}, {"temperature": 0}, {"epochs": 3}],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        Distill(**options)
