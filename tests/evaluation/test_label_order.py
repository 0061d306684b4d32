"""A network that is sure of itself and right by chance: its labels may be in another order."""

import re

import numpy as np
import pytest

from compress.evaluation.label_order import warn_of_other_order
from compress.evaluation.metrics import Outputs

CLASSES, PHOTOS = 10, 40


def outputs(labels, certainty):
    logits = np.eye(CLASSES, dtype=np.float32)[np.arange(PHOTOS) % CLASSES] * certainty
    return Outputs(logits, labels)


def warnings(caplog, labels, certainty=20.0):
    caplog.clear()
    warn_of_other_order(outputs(labels, certainty))
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("shift", [1, 5])
def test_labels_in_another_order_are_told(caplog, shift):
    (message,) = warnings(caplog, (np.arange(PHOTOS) + shift) % CLASSES)
    assert "top-1 is 0.0%, near chance (10.0%)" in message
    assert "labels may be in another order" in message


def test_right_labels_an_unsure_network_and_no_labels_are_not(caplog):
    right = np.arange(PHOTOS) % CLASSES
    half_right = np.where(np.arange(PHOTOS) % 2, right, (right + 1) % CLASSES)
    assert warnings(caplog, right) == warnings(caplog, half_right) == warnings(caplog, None) == []
    assert warnings(caplog, (right + 1) % CLASSES, certainty=0.1) == []


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        (lambda right: np.array(sorted(range(12), key=str))[right], "sorted as text .* take `labels: order`"),
        (lambda right: np.argsort(sorted(range(12), key=str))[right], "sorted as numbers .* name each class by its"),
        (lambda right: np.argsort(sorted(range(1, 13), key=str))[right], "sorted as numbers .* name each class by its"),
        (lambda right: np.minimum(right + 1, 11), "counted from 0: subtract 1"),
        (lambda right: np.maximum(right - 1, 0), "class 0 of the network is an additional one: add 1"),
    ],
    ids=["numbers as text", "text as numbers", "text as numbers from 1", "from 1", "from -1"],
)
def test_usual_orders_are_named_even_if_some_labels_are_right(caplog, wrong, remedy):
    right = np.arange(60) % 12
    warn_of_other_order(Outputs(np.eye(12, dtype=np.float32)[right] * 20, wrong(right)))
    (message,) = [record.getMessage() for record in caplog.records]
    assert re.search(rf"top-1 is .* another order .*; top-1 would be \d+\.\d% if .*{remedy}", message)
