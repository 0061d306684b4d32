"""Supervised training: what it learns, what it keeps, and its errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from divergence import outputs
from pydantic import ValidationError
from tiny_model import WEIGHTS, values

from compress import container
from compress.container.file import weights_sha256
from compress.context import Context
from compress.data.digits import Digits
from compress.errors import DataError, PassError
from compress.evaluation.metrics import accuracy
from compress.networks.modules import NETWORKS
from compress.passes import Prune, Quantize, Share, Train
from compress.pipeline import invariants
from compress.tensors.forms import Dense, Shared
from compress.training.splits import stratified_split
from compress.training.supervised import SupervisedTraining
from compress.weights.squeezenet_weights import RandomWeights

QUICK = {"epochs": 12, "batch": 20, "optimizer": "adamw", "learning_rate": 0.01, "shift": 0, "flip": False}


def right(model, context):
    """Return the top-1 accuracy on the calibration photos."""
    return accuracy(outputs(model, context)).top1.value


@pytest.fixture
def shared(tiny, labelled):
    return Share(bits=4)(Prune(sparsity=0.3)(tiny, labelled), labelled)


class TestLearning:
    @pytest.mark.parametrize(
        "options",
        [
            {"optimizer": "adamw", "learning_rate": 0.01},
            {"optimizer": "sgd", "learning_rate": 0.02},
            {"optimizer": "sgd", "learning_rate": 0.02, "warmup": 1},
        ],
        ids=["adamw", "sgd", "warmup"],
    )
    def test_labels_are_learned(self, tiny, labelled, options):
        trained = Train(**{**QUICK, **options, "epochs": 25})(tiny, labelled)
        assert right(trained, labelled) > max(0.6, 2 * right(tiny, labelled))

    @pytest.mark.parametrize(
        "options", [{"optimizer": "adamw", "learning_rate": 0.01}, {"learning_rate": 0.02}], ids=str
    )
    def test_codebook_entries_are_trained_at_the_same_learning_rate_and_stay_shared(self, shared, labelled, options):
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

    def test_a_step_moves_a_codebook_entry_by_the_mean_gradient_of_its_weights(self, shared, labelled):
        """A sum over a thousand weights would need a smaller learning rate than a sum over ten."""
        model = shared.with_tensors({n: replace(shared.tensors[n], stored_as="float32") for n in WEIGHTS})
        train = Train(epochs=1, batch=200, learning_rate=0.1, weight_decay=0, shift=0, flip=False, validation_split=0)
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

    def test_pruned_weights_stay_zero(self, tiny, labelled):
        pruned = Prune(sparsity=0.5)(tiny, labelled)
        trained = Train(**QUICK)(pruned, labelled)
        invariants.check_invariants(pruned, trained, "train")
        assert right(trained, labelled) > right(pruned, labelled)
        for name in WEIGHTS:
            assert np.array_equal(trained.tensors[name].mask, pruned.tensors[name].mask)
            assert not values(trained, name)[~pruned.tensors[name].mask].any()

    def test_pruning_and_training_can_alternate(self, tiny, labelled):
        model, before = tiny, None
        for sparsity in (0.3, 0.5, 0.7):
            model = Train(**{**QUICK, "epochs": 4})(Prune(sparsity=sparsity)(model, labelled), labelled)
            assert before is None or not values(model, "2.weight")[before].any()
            before = ~model.tensors["2.weight"].mask
            assert before.mean() == pytest.approx(sparsity, abs=0.01)

    def test_weights_on_levels_are_not_trained_and_their_biases_are(self, tiny, labelled):
        quantized = Quantize(lambda_=3e-5)(tiny, labelled)  # steps small enough for training to go from one to the next
        trained = Train(**QUICK)(quantized, labelled)
        invariants.check_invariants(quantized, trained, "train")
        assert all(trained.tensors[name] is quantized.tensors[name] for name in WEIGHTS)
        assert not np.array_equal(values(trained, "4.bias"), values(quantized, "4.bias"))

    def test_weight_decay_leaves_biases_out(self, tiny, labelled):
        flat = replace(labelled, calibration=replace(labelled.calibration, labels=np.arange(120) % 6))
        little, much = (
            Train(epochs=2, learning_rate=1e-3, weight_decay=decay, validation_split=0)(tiny, flat) for decay in (0, 1)
        )
        assert np.abs(values(much, "2.weight")).mean() < 0.999 * np.abs(values(little, "2.weight")).mean()
        np.testing.assert_allclose(values(much, "0.bias"), values(little, "0.bias"), atol=1e-2)

    def test_dropout_is_as_the_network_defines_it_by_default(self, tiny, labelled, monkeypatch):
        plain = NETWORKS["tiny"]

        def with_dropout(classes):
            return torch.nn.Sequential(*plain(classes)[:4], *plain(classes)[4:], torch.nn.Dropout(0.9))

        monkeypatch.setitem(NETWORKS, "tiny", with_dropout)
        own, none = (Train(**QUICK, dropout=share)(tiny, labelled) for share in (None, 0.0))
        assert weights_sha256(own) != weights_sha256(none)
        monkeypatch.setitem(NETWORKS, "tiny", plain)
        assert weights_sha256(Train(**QUICK, dropout=0.0)(tiny, labelled)) == weights_sha256(none)


class TestValidationSplit:
    def test_the_best_weights_are_returned(self, tiny, labelled, monkeypatch):
        """The best score is that after epoch 3."""
        scores = iter([(9, 1.0), (8, 0.9), (7, 0.8), (5, 0.8), *[(6, 0.1)] * 10])
        weights = []

        def validate(self, step):
            weights.append(self.network.state()["2.weight"].numpy())
            return next(scores)

        monkeypatch.setattr(SupervisedTraining, "_validate", validate)
        best = Train(**{**QUICK, "epochs": 8})(tiny, labelled)
        assert len(weights) == 9
        assert np.array_equal(values(best, "2.weight"), weights[3])
        assert not np.array_equal(weights[3], weights[8])

    def test_a_training_that_only_makes_it_worse_returns_the_initial_weights(self, tiny, labelled):
        good = Train(**{**QUICK, "epochs": 40})(tiny, labelled)
        same = Train(**{**QUICK, "epochs": 2, "learning_rate": 0.1}, validation_split=0.5)(good, labelled)
        assert right(same, labelled) >= 0.9 * right(good, labelled)

    def test_validation_photos_are_not_trained_on(self, tiny, labelled, monkeypatch):
        seen, step = set(), SupervisedTraining.step
        monkeypatch.setattr(
            SupervisedTraining, "step", lambda self, n, photos: seen.update(photos.tolist()) or step(self, n, photos)
        )
        Train(**QUICK, validation_split=0.25)(tiny, labelled)
        assert seen == set(stratified_split(labelled.calibration.labels, 0.25, labelled.seed)[0].tolist())

    def test_one_photo_per_class_leaves_none_to_validate_on(self, tiny, labelled, patchwork):
        few = replace(labelled, calibration=replace(patchwork(6), labels=np.arange(6)))
        with pytest.raises(
            DataError,
            match=r"validation_split is 0\.1, but each class has a single photo of the 6; set validation_split",
        ):
            Train(**QUICK)(tiny, few)
        assert right(Train(**{**QUICK, "epochs": 60}, validation_split=0)(tiny, few), few) > 0.8


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (
                None,
                "the calibration photos have none; generated: name a folder .* 6 classes, .* or use the pass distill",
            ),
            (
                [0, 1, 2, 2, 5, 5],
                "none of the 6 calibration photos is of class 3 and 1 other classes; a network forgets a class that it",
            ),
        ],
        ids=["none", "empty class"],
    )
    def test_unusable_labels_are_refused(self, tiny, context, patchwork, labels, message):
        photos = replace(patchwork(6), labels=labels and np.array(labels))
        with pytest.raises(DataError, match=message):
            Train(**QUICK)(tiny, replace(context, calibration=photos))

    def test_a_batch_larger_than_the_photo_set_is_the_whole_set(self, tiny, labelled):
        large, whole = (Train(**{**QUICK, "epochs": 3, "batch": batch})(tiny, labelled) for batch in (100_000, 108))
        assert weights_sha256(large) == weights_sha256(whole)

    def test_a_single_photo_of_a_single_class_is_enough(self, photos_of, monkeypatch):
        monkeypatch.setitem(NETWORKS, "one", lambda classes: torch.nn.Sequential(
            torch.nn.Conv2d(3, classes, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        ))  # fmt: skip
        model = RandomWeights("squeezenet1_1", 1, input_size=32).load()
        tensors = {"0.weight": Dense(np.ones((1, 3, 3, 3), np.float32)), "0.bias": Dense(np.zeros(1, np.float32))}
        model = replace(model, architecture="one", tensors=tensors)
        photos = photos_of(np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, np.int64))
        Train(epochs=2, validation_split=0)(model, Context(model, photos))


class TestDivergence:
    def test_a_loss_that_is_not_finite_is_an_error_that_names_the_step(self, tiny, labelled):
        broken = tiny.with_tensors({"4.weight": Dense(np.full((6, 12, 1, 1), 3e38, np.float32))})
        with pytest.raises(
            PassError, match=r"the loss is (nan|inf) at step 1 \(allowed: below 179, .*\); lower the learning_rate"
        ):
            Train(**QUICK, validation_split=0)(broken, labelled)

    def test_a_loss_above_100_times_that_of_a_guess_is_an_error(self, tiny, labelled):
        before = weights_sha256(tiny)
        with pytest.raises(PassError, match=r"at step \d+ \(allowed: below 179, 100 times that of a random guess\)"):
            Train(epochs=30, batch=20, learning_rate=10)(tiny, labelled)
        assert weights_sha256(tiny) == before

    @pytest.mark.parametrize(
        ("validation_split", "said"), [(0.2, "the best weights"), (0, "the weights after step 100")]
    )
    def test_the_last_good_weights_are_saved_in_a_file(
        self, tiny, labelled, tmp_path, monkeypatch, validation_split, said
    ):
        """NaN comes at step 117, in epoch 24 of five steps or 20 of six."""
        options = {**QUICK, "validation_split": validation_split, "epochs": 30}
        step, good = SupervisedTraining.step, {}

        def spoilt(self, number, photos):
            if number == 100:
                good["after step"] = weights_sha256(tiny.with_tensors(self.tensors()))
            if number == 116:
                good["best"] = self.best.get("network")
                with torch.no_grad():
                    self.network.trained["2.weight"].parameter.fill_(torch.nan)
            return step(self, number, photos)

        monkeypatch.setattr(SupervisedTraining, "step", spoilt)
        message = rf"the loss is nan at step 117 .*; lower the learning_rate; {said} are in"
        with pytest.raises(PassError, match=message) as caught:
            Train(**options)(tiny, replace(labelled, store=tmp_path, out=tmp_path / "out"))
        rescued = container.read(Path(str(caught.value).split(" are in ")[1]))
        if validation_split:
            assert all(np.array_equal(values(rescued, name), good["best"][name].numpy()) for name in WEIGHTS)
        else:
            assert weights_sha256(rescued) == good["after step"]

    def test_the_error_says_where_no_weights_were_saved(self, tiny, labelled, tmp_path):
        broken = tiny.with_tensors({"4.weight": Dense(np.full((6, 12, 1, 1), 3e38, np.float32))})
        with pytest.raises(PassError, match=r"; no weights were saved$"):
            Train(**QUICK, validation_split=0)(broken, replace(labelled, store=tmp_path, out=tmp_path))
        assert not list(tmp_path.iterdir())

    def test_an_epoch_without_a_gradient_is_an_error(self, tiny, labelled, monkeypatch):
        """With a ReLU behind the classifier and biases far below zero, no photo gives a gradient."""
        plain = NETWORKS["tiny"]
        monkeypatch.setitem(NETWORKS, "tiny", lambda classes: torch.nn.Sequential(*plain(classes), torch.nn.ReLU()))
        silenced = tiny.with_tensors({"4.bias": Dense(np.full(6, -1e3, np.float32))})
        with pytest.raises(
            PassError,
            match=r"the logits did not depend on the photos, .* in the whole epoch to step 6: the network cannot",
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
        assert torch.rand(1) == drawn  # the global generator is unchanged
        assert weights_sha256(train(shared, replace(labelled, seed=1))) != first
        assert weights_sha256(train(shared, replace(labelled, stage="train again"))) != first

    @pytest.mark.parametrize("kind", ["plain", "pruned", "shared", "sgd"])
    def test_an_interrupted_training_ends_with_the_same_bits(self, tiny, shared, labelled, tmp_path, stop_at, kind):
        model = {"shared": shared, "pruned": Prune(sparsity=0.5)(tiny, labelled)}.get(kind, tiny)
        options = {**QUICK, "epochs": 11, "batch": 10, "optimizer": "sgd" if kind == "sgd" else "adamw"}
        train, resumable = Train(**options), replace(labelled, store=tmp_path)
        undisturbed = train(model, labelled)
        stop_at(117)
        with pytest.raises(KeyboardInterrupt):
            train(model, resumable)
        assert [path.suffix for path in tmp_path.iterdir()] == [".state"]
        done = stop_at(None)
        resumed = train(model, resumable)
        assert weights_sha256(resumed) == weights_sha256(undisturbed)
        assert resumed.training == undisturbed.training
        assert [step for step, _, _ in resumed.training.validation] == list(range(0, 122, 11))
        assert done == list(range(100, 121))
        assert not list(tmp_path.iterdir())

    def test_other_forms_or_options_do_not_resume(self, tiny, labelled, tmp_path, stop_at):
        resumable, train = replace(labelled, store=tmp_path), Train(**{**QUICK, "batch": 2, "epochs": 2})
        stop_at(60)
        with pytest.raises(KeyboardInterrupt):
            train(tiny, resumable)
        nothing_pruned = Prune(sparsity=0)(tiny, labelled)
        for other, model in ((replace(train, dropout=0.1), tiny), (train, nothing_pruned)):
            done = stop_at(None)
            other(model, resumable)
            assert done[0] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0}, {"batch": 0}, {"learning_rate": 0}, {"optimizer": "adam"}, {"label_smoothing": 1},
        {"dropout": 1}, {"validation_split": 0.6}, {"shift": 0.6}, {"epochs": 2, "warmup": 3}, {"steps": 3},
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValidationError):
        Train(**options)


def test_a_squeezenet_learns_digits_from_nothing():
    """After a few epochs, most validation photos are right."""
    model = RandomWeights("squeezenet1_1", 10, input_size=32, resize="squash").load(0)
    photos = {role: Digits().load(model.preprocessing, role, classes=10) for role in ("calibration", "validation")}
    context = Context(model, photos["calibration"])
    options = {"optimizer": "adamw", "learning_rate": 1e-3, "warmup": 2, "dropout": 0.0}
    train = Train(epochs=7, batch=32, flip=False, **options)
    assert right(train(model, context), replace(context, calibration=photos["validation"])) > 0.5
