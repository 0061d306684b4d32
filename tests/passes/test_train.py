"""Training with labels: what it may change, what it never does, and what it says where it cannot go on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from compress import container
from compress.container.file import weights_sha256
from compress.data.digits import Digits
from compress.errors import DataError, PassError
from compress.evaluation.metrics import accuracy, run
from compress.networks.modules import NETWORKS
from compress.networks.random_init import Random
from compress.passes import Context, Prune, Quantize, Share, Train
from compress.pipeline import invariants
from compress.runtime.progress import silent
from compress.tensors.forms import Dense, Shared
from compress.training import supervised as training_module
from compress.training.forward import forward_of
from compress.training.parametrizations import Trained
from compress.training.schedules import rate_at
from compress.training.splits import labels_of, split
from compress.training.supervised import Training

WEIGHTS = ("0.weight", "2.weight", "4.weight")
QUICK = {"epochs": 12, "batch": 20, "optimizer": "adamw", "learning_rate": 0.01, "shift": 0, "flip": False}


def values(model, name):
    return model.tensors[name].to_dense()


def right(model, context):
    """Share of the calibration photos that a model gets right."""
    outputs = run(context.network(model), context.calibration, model.preprocessing, silent)
    return accuracy(outputs).top1.value


@pytest.fixture
def labelled(context, patchwork):
    """120 photos, each tinted in one of six colours, its label: easily learned."""
    photos, labels = patchwork(120, seed=3), np.random.default_rng(3).permutation(np.arange(120) % 6)
    tints = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0], [0, 200, 200], [200, 0, 200]])
    pixels = (photos.pixels // 5 + tints[labels][:, None, None]).astype(np.uint8)
    return replace(context, calibration=replace(photos, pixels=pixels, labels=labels))


@pytest.fixture
def shared(tiny, labelled):
    return Share(bits=4)(Prune(sparsity=0.3)(tiny, labelled), labelled)


class TestLearning:
    @pytest.mark.parametrize(
        "options",
        [
            {"optimizer": "adamw", "learning_rate": 0.01},
            {"optimizer": "sgd", "learning_rate": 0.02},
            {"optimizer": "sgd", "learning_rate": 0.02, "nesterov": True, "schedule": "polynomial", "warmup": 1},
            {"optimizer": "adamw", "learning_rate": 0.01, "schedule": "constant", "mixed_precision": True},
        ],
        ids=["adamw", "sgd", "nesterov", "bfloat16"],
    )
    def test_labels_are_learned(self, tiny, labelled, options):
        trained = Train(**{**QUICK, **options, "epochs": 25})(tiny, labelled)
        assert right(trained, labelled) > max(0.6, 2 * right(tiny, labelled))

    @pytest.mark.parametrize(
        "options", [{"optimizer": "adamw", "learning_rate": 0.01}, {"learning_rate": 0.02}], ids=str
    )
    def test_shared_values_are_trained_at_the_rate_of_others_and_stay_shared(self, shared, labelled, options):
        trained = Train(**{**QUICK, "optimizer": "sgd", **options, "epochs": 25})(shared, labelled)
        assert right(trained, labelled) > max(0.5, right(shared, labelled) + 0.15)
        for name in WEIGHTS:
            before, after = shared.tensors[name], trained.tensors[name]
            assert isinstance(after, Shared)
            assert after.stored_as == "float16"
            assert not np.array_equal(before.codebook, after.codebook)
            pairs = set(zip(before.indices.ravel().tolist(), after.indices.ravel().tolist(), strict=True))
            assert len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})
            assert np.array_equal(before.indices == 0, after.indices == 0)

    def test_a_codebook_that_does_not_hold_is_an_error(self, shared, labelled, monkeypatch):
        """Entry 0 is that of pruned weights."""
        monkeypatch.setattr(Trained, "hold", lambda self: self.parameter.data.add_(1e-3))
        with pytest.raises(PassError, match=r"tensor 0\.weight: the zero of its codebook became 0\.0"):
            Train(**QUICK)(shared, labelled)

    def test_a_step_moves_a_shared_value_by_the_mean_of_its_weights_gradients(self, shared, labelled):
        """A sum over a thousand weights would need another rate than one over ten."""
        model = shared.with_tensors({n: replace(shared.tensors[n], stored_as="float32") for n in WEIGHTS})
        train = Train(
            epochs=1, batch=200, learning_rate=0.1, schedule="constant", weight_decay=0, shift=0, flip=False, held_out=0
        )
        step = train(model, labelled)
        network = labelled.network(model)
        logits = network(labelled.inputs(np.arange(120)))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labelled.calibration.labels))
        gradients = torch.autograd.grad(loss, [network.get_parameter(name) for name in WEIGHTS])
        for name, gradient in zip(WEIGHTS, gradients, strict=True):
            tensor = model.tensors[name]
            summed = np.bincount(tensor.indices.ravel(), gradient.numpy().ravel(), len(tensor.codebook))
            sharing = np.bincount(tensor.indices.ravel(), minlength=len(tensor.codebook))
            wanted = tensor.codebook - 0.1 * summed / np.maximum(sharing, 1)
            wanted[0] = 0
            np.testing.assert_allclose(values(step, name), wanted[tensor.indices], rtol=1e-4, atol=1e-6)

    def test_pruned_weights_stay_zero_while_the_others_learn(self, tiny, labelled):
        pruned = Prune(sparsity=0.5)(tiny, labelled)
        trained = Train(**QUICK)(pruned, labelled)
        invariants.check(pruned, trained, "train")
        assert right(trained, labelled) > right(pruned, labelled)
        for name in WEIGHTS:
            assert np.array_equal(trained.tensors[name].mask, pruned.tensors[name].mask)
            assert not values(trained, name)[~pruned.tensors[name].mask].any()

    def test_pruning_and_training_go_in_turns(self, tiny, labelled):
        model, before = tiny, None
        for sparsity in (0.3, 0.5, 0.7):
            model = Train(**{**QUICK, "epochs": 4})(Prune(sparsity=sparsity)(model, labelled), labelled)
            assert before is None or not values(model, "2.weight")[before].any()
            before = ~model.tensors["2.weight"].mask
            assert before.mean() == pytest.approx(sparsity, abs=0.01)

    def test_weights_on_levels_stay_and_their_biases_are_trained(self, tiny, labelled):
        quantized = Quantize(slope=3e-5)(tiny, labelled)  # steps small enough for training to go from one to the next
        trained = Train(**QUICK)(quantized, labelled)
        invariants.check(quantized, trained, "train")
        assert all(trained.tensors[name] is quantized.tensors[name] for name in WEIGHTS)
        assert not np.array_equal(values(trained, "4.bias"), values(quantized, "4.bias"))

    def test_weights_decay_and_biases_do_not(self, tiny, labelled):
        flat = replace(labelled, calibration=replace(labelled.calibration, labels=np.arange(120) % 6))
        little, much = (
            Train(epochs=2, learning_rate=1e-3, weight_decay=decay, held_out=0)(tiny, flat) for decay in (0, 1)
        )
        assert np.abs(values(much, "2.weight")).mean() < 0.999 * np.abs(values(little, "2.weight")).mean()
        np.testing.assert_allclose(values(much, "0.bias"), values(little, "0.bias"), atol=1e-2)

    def test_dropout_is_the_networks_own_unless_told_otherwise(self, tiny, labelled, monkeypatch):
        plain = NETWORKS["tiny"]

        def with_dropout(classes):
            return torch.nn.Sequential(*plain(classes)[:4], *plain(classes)[4:], torch.nn.Dropout(0.9))

        monkeypatch.setitem(NETWORKS, "tiny", with_dropout)
        own, none = (Train(**QUICK, dropout=share)(tiny, labelled) for share in (None, 0.0))
        assert weights_sha256(own) != weights_sha256(none)
        monkeypatch.setitem(NETWORKS, "tiny", plain)
        assert weights_sha256(Train(**QUICK, dropout=0.0)(tiny, labelled)) == weights_sha256(none)


class TestCompiling:
    def test_it_is_for_gpus_and_says_so(self, tiny, labelled):
        with pytest.raises(PassError, match="compile is for GPUs, and this runs on cpu; leave it out, or name a GPU"):
            Train(**QUICK, compile=True)(tiny, labelled)

    @pytest.mark.parametrize("kind", ["plain", "shared"])
    def test_a_compiled_network_computes_the_same(self, tiny, shared, labelled, monkeypatch, kind):
        model, inputs = {"plain": tiny, "shared": shared}[kind], labelled.inputs(np.arange(7))
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
        network = labelled.network(model)
        weights = {"2.weight": torch.ones(12, 8, 3, 3)} if kind == "shared" else {}
        wanted = forward_of(network, torch.device("cpu"), compiled=False)(weights, inputs)
        found = forward_of(network, torch.device("cuda"), compiled=True)(weights, inputs)
        torch.testing.assert_close(found, wanted)

    def test_what_torch_cannot_compile_is_an_error_with_its_cure(self, tiny, labelled, monkeypatch):
        def broken(graph, inputs):
            raise RuntimeError("no compiler")

        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
        forward = forward_of(labelled.network(tiny), torch.device("cuda"), compiled=True)
        with pytest.raises(PassError, match=r"torch cannot compile this network here: .*; leave out compile"):
            forward({}, labelled.inputs(np.arange(2)))


class TestHeldOut:
    def test_the_best_weights_are_kept_whatever_comes_after(self, tiny, labelled, monkeypatch):
        """Judged best after epoch 3, they are what three epochs alone leave."""
        judged = iter([(9, 1.0), (8, 0.9), (7, 0.8), (5, 0.8), *[(6, 0.1)] * 10])
        monkeypatch.setattr(Training, "_judgement", lambda self, step: next(judged))
        options = {**QUICK, "schedule": "constant"}
        best = Train(**{**options, "epochs": 8})(tiny, labelled)
        monkeypatch.setattr(Training, "_judgement", lambda self, step: (9 - step, 0.0))
        assert weights_sha256(best) == weights_sha256(Train(**{**options, "epochs": 3})(tiny, labelled))

    def test_training_ends_after_so_many_epochs_without_better_weights(self, tiny, labelled, monkeypatch):
        judged = []

        def judgement(self, step):
            judged.append(step)
            return (5, 1.0) if len(judged) == 3 else (6, 1.0)

        monkeypatch.setattr(Training, "_judgement", judgement)
        Train(**{**QUICK, "epochs": 50}, patience=4)(tiny, labelled)
        assert len(judged) == 1 + 2 + 4  # before the first epoch, two that get better, four that do not

    def test_weights_that_training_would_spoil_are_returned_as_they_were(self, tiny, labelled):
        good = Train(**{**QUICK, "epochs": 40})(tiny, labelled)
        same = Train(**{**QUICK, "epochs": 2, "learning_rate": 0.1}, held_out=0.5)(good, labelled)
        assert right(same, labelled) >= 0.9 * right(good, labelled)

    def test_each_class_gives_its_part_and_keeps_one(self):
        labels = np.repeat(np.arange(4), [1, 10, 20, 69])
        places, held = split(labels, 0.2, 0)
        assert sorted([*places, *held]) == list(range(100))
        assert np.bincount(labels[held], minlength=4).tolist() == [0, 2, 4, 14]

    def test_no_stage_trains_on_what_another_has_held_out(self):
        labels = np.random.default_rng(0).integers(0, 5, 200)
        few, many = (set(split(labels, share, 7)[1].tolist()) for share in (0.1, 0.3))
        assert len(few) == 20
        assert few < many
        assert few != set(split(labels, 0.1, 8)[1].tolist())

    def test_photos_held_out_are_not_trained_on(self, tiny, labelled, monkeypatch):
        seen, step = set(), Training.step
        monkeypatch.setattr(
            Training, "step", lambda self, n, places: (seen.update(places.tolist()), step(self, n, places))
        )
        Train(**QUICK, held_out=0.25)(tiny, labelled)
        assert seen == set(split(labelled.calibration.labels, 0.25, labelled.seed)[0].tolist())

    def test_one_photo_of_each_class_leaves_none_to_hold_out(self, tiny, labelled, patchwork):
        few = replace(labelled, calibration=replace(patchwork(6), labels=np.arange(6)))
        with pytest.raises(
            DataError, match=r"held_out is 0\.1, and no class has more than one photo of 6; set held_out"
        ):
            Train(**QUICK)(tiny, few)
        assert right(Train(**{**QUICK, "epochs": 60}, held_out=0)(tiny, few), few) > 0.8


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (None, "training needs labels, and the calibration photos have none; .* or use the pass distill"),
            ([0, 1, 2, 3, 4, 6], r"photo 5: its label is 6, and the network has 6 classes \(allowed: 0 to 5\)"),
            ([0, 1, -1, 3, 4, 5], "photo 2: its label is -1"),
            (
                [0, 1, 2, 2, 5, 5],
                "among the 6 to train on is of class 3 and 1 more classes; a network unlearns what it",
            ),
        ],
        ids=["none", "too large", "negative", "empty class"],
    )
    def test_those_that_are_no_good_are_refused(self, tiny, context, patchwork, labels, message):
        photos = replace(patchwork(6), labels=labels and np.array(labels))
        with pytest.raises(DataError, match=message):
            Train(**QUICK)(tiny, replace(context, calibration=photos))

    def test_a_set_without_photos_is_refused(self, photos_of):
        with pytest.raises(DataError, match="needs photos"):
            labels_of(photos_of(np.zeros((0, 12, 12, 3), np.uint8), np.zeros(0, np.int64)), 6)

    def test_a_batch_larger_than_the_set_is_the_set(self, tiny, labelled):
        large, whole = (Train(**{**QUICK, "epochs": 3, "batch": batch})(tiny, labelled) for batch in (100_000, 108))
        assert weights_sha256(large) == weights_sha256(whole)

    def test_a_single_photo_of_a_single_class_is_enough(self, photos_of, monkeypatch):
        monkeypatch.setitem(NETWORKS, "one", lambda classes: torch.nn.Sequential(
            torch.nn.Conv2d(3, classes, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        ))  # fmt: skip
        model = Random("squeezenet1_1", 1, size=32).load()
        tensors = {"0.weight": Dense(np.ones((1, 3, 3, 3), np.float32)), "0.bias": Dense(np.zeros(1, np.float32))}
        model = replace(model, architecture="one", tensors=tensors)
        photos = photos_of(np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, np.int64))
        Train(epochs=2, held_out=0)(model, Context(model, photos))


class TestDivergence:
    def test_a_loss_that_is_not_finite_is_an_error_that_names_the_step(self, tiny, labelled):
        broken = tiny.with_tensors({"4.weight": Dense(np.full((6, 12, 1, 1), 3e38, np.float32))})
        with pytest.raises(PassError, match=r"the loss is (nan|inf) at step 1; lower the learning_rate"):
            Train(**QUICK, held_out=0)(broken, labelled)

    def test_a_loss_out_of_all_bounds_is_one_too_and_the_weights_are_as_they_were(self, tiny, labelled):
        before = weights_sha256(tiny)
        with pytest.raises(PassError, match=r"at step \d+(; lower|, and that of a guess is 1\.79: training diverges)"):
            Train(epochs=30, batch=20, learning_rate=10, schedule="constant")(tiny, labelled)
        assert weights_sha256(tiny) == before

    @pytest.mark.parametrize(
        ("held_out", "said"), [(0.2, "the best weights until then"), (0, "the weights after step 100")]
    )
    def test_the_last_good_weights_are_kept_in_a_file(self, tiny, labelled, tmp_path, monkeypatch, held_out, said):
        """NaN comes at step 117, in epoch 24 of five steps or 20 of six."""
        options = {**QUICK, "schedule": "constant", "held_out": held_out, "epochs": 30}
        step, good = Training.step, {}

        def spoilt(self, number, places):
            if number == 100:
                good["after step"] = weights_sha256(tiny.with_tensors(self.tensors()))
            if number == 116:
                good["best"] = self._best.get("parameters")
                with torch.no_grad():
                    self._network.parts["2.weight"].parameter.fill_(torch.nan)
            step(self, number, places)

        monkeypatch.setattr(training_module.Training, "step", spoilt)
        with pytest.raises(
            PassError, match=rf"the loss is nan at step 117; lower the learning_rate; {said} are in"
        ) as caught:
            Train(**options)(tiny, replace(labelled, store=tmp_path, out=tmp_path / "out"))
        rescued = container.read(Path(str(caught.value).split(" are in ")[1]))
        if held_out:
            assert all(np.array_equal(values(rescued, name), good["best"][name].numpy()) for name in WEIGHTS)
        else:
            assert weights_sha256(rescued) == good["after step"]

    def test_where_nothing_good_was_kept_the_error_says_so(self, tiny, labelled, tmp_path):
        broken = tiny.with_tensors({"4.weight": Dense(np.full((6, 12, 1, 1), 3e38, np.float32))})
        with pytest.raises(PassError, match=r"; what the stage was given is as it was$"):
            Train(**QUICK, held_out=0)(broken, replace(labelled, store=tmp_path, out=tmp_path))
        assert not list(tmp_path.iterdir())

    def test_a_network_that_has_fallen_silent_is_not_trained_on(self, tiny, labelled, monkeypatch):
        """With a ReLU behind the classifier and biases far below zero no photo gives a gradient."""
        plain = NETWORKS["tiny"]
        monkeypatch.setitem(NETWORKS, "tiny", lambda classes: torch.nn.Sequential(*plain(classes), torch.nn.ReLU()))
        silenced = tiny.with_tensors({"4.bias": Dense(np.full(6, -1e3, np.float32))})
        with pytest.raises(
            PassError, match="the same answer to every photo, and no gradient, in the whole epoch to step 6"
        ):
            Train(**QUICK)(silenced, labelled)


class TestSameBits:
    def test_the_same_seed_gives_the_same_bits_and_another_does_not(self, shared, labelled):
        train = Train(**{**QUICK, "epochs": 3, "shift": 0.1, "flip": True})
        first = weights_sha256(train(shared, labelled))
        torch.manual_seed(99)
        drawn = torch.rand(1)
        torch.manual_seed(99)
        assert weights_sha256(train(shared, labelled)) == first
        assert torch.rand(1) == drawn  # nothing was drawn from the user's generator
        assert weights_sha256(train(shared, replace(labelled, seed=1))) != first
        assert weights_sha256(train(shared, replace(labelled, stage="train again"))) != first

    @pytest.mark.parametrize("kind", ["plain", "pruned", "shared", "sgd", "views"])
    def test_one_that_is_interrupted_ends_with_the_same_bits(self, tiny, shared, labelled, tmp_path, monkeypatch, kind):
        model = {"shared": shared, "pruned": Prune(sparsity=0.5)(tiny, labelled)}.get(kind, tiny)
        options = {**QUICK, "epochs": 11, "batch": 10, "views": kind == "views"}
        if kind == "sgd":
            options |= {"optimizer": "sgd", "nesterov": True, "schedule": "polynomial"}
        train, kept = Train(**options), replace(labelled, store=tmp_path)
        undisturbed = weights_sha256(train(model, labelled))
        stop_at(monkeypatch, 117)
        with pytest.raises(KeyboardInterrupt):
            train(model, kept)
        assert [path.suffix for path in tmp_path.iterdir()] == [".state"]
        done = stop_at(monkeypatch, None)
        assert weights_sha256(train(model, kept)) == undisturbed
        assert done == list(range(100, 121))
        assert not list(tmp_path.iterdir())

    def test_nothing_is_taken_up_in_another_form_or_with_other_options(self, tiny, labelled, tmp_path, monkeypatch):
        kept, train = replace(labelled, store=tmp_path), Train(**{**QUICK, "batch": 2, "epochs": 2})
        stop_at(monkeypatch, 60)
        with pytest.raises(KeyboardInterrupt):
            train(tiny, kept)
        nothing_pruned = Prune(sparsity=0)(tiny, labelled)
        for other, model in ((replace(train, dropout=0.1), tiny), (train, nothing_pruned)):
            done = stop_at(monkeypatch, None)
            other(model, kept)
            assert done[0] == 0

    def test_the_input_is_not_changed(self, shared, tiny, labelled):
        before = weights_sha256(shared), weights_sha256(tiny)
        Train(**{**QUICK, "epochs": 1})(shared, labelled)
        assert (weights_sha256(shared), weights_sha256(tiny)) == before


def stop_at(monkeypatch, last):
    """Have training stop as by Ctrl-C at a step; return the list in which the steps done will be."""
    done, step = [], training_module.Training.step
    step = getattr(step, "undisturbed", step)

    def stopped(self, number, places):
        if number == last:
            raise KeyboardInterrupt
        done.append(number)
        step(self, number, places)

    stopped.undisturbed = step
    monkeypatch.setattr(training_module.Training, "step", stopped)
    return done


class TestRate:
    @pytest.mark.parametrize(
        ("schedule", "power", "wanted"),
        [("constant", 1, [1, 1, 1]), ("polynomial", 1, [1, 0.5, 0.01]), ("polynomial", 2, [1, 0.25, 0.0001]),
         ("cosine", 1, [1, 0.5, 0.000247])],
    )  # fmt: skip
    def test_it_falls_as_its_schedule_says(self, schedule, power, wanted):
        found = [rate_at(step, 100, schedule, warmup=0, power=power) for step in (0, 50, 99)]
        assert found == pytest.approx(wanted, rel=1e-2)

    def test_it_rises_in_a_straight_line_first(self):
        found = [rate_at(step, 100, "cosine", warmup=4, power=1) for step in range(5)]
        assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
        assert all(0 < rate_at(step, 10, "cosine", warmup=10, power=1) < 1 for step in range(10))


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0}, {"batch": 0}, {"learning_rate": 0}, {"optimizer": "adam"}, {"schedule": "step"},
        {"label_smoothing": 1}, {"dropout": 1}, {"held_out": 0.6}, {"shift": 0.6}, {"patience": 0}, {"power": 0},
        {"patience": 2, "held_out": 0}, {"optimizer": "adamw", "nesterov": True}, {"epochs": 2, "warmup": 3},
        {"steps": 3},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        Train(**options)


def test_a_squeezenet_learns_digits_from_nothing():
    """In a few epochs it tells most of those apart that it never saw."""
    model = Random("squeezenet1_1", 10, size=32, resize="squash").load(0)
    photos = {role: Digits().load(model.preprocessing, role, classes=10) for role in ("calibration", "validation")}
    context = Context(model, photos["calibration"])
    options = {"optimizer": "adamw", "learning_rate": 1e-3, "schedule": "constant", "warmup": 2, "dropout": 0.0}
    train = Train(epochs=7, batch=32, flip=False, **options)
    outputs = run(context.network(train(model, context)), photos["validation"], model.preprocessing, silent)
    assert accuracy(outputs).top1.value > 0.5
