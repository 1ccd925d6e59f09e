"""Which network suits the data: what decides, and what takes no part."""

import dataclasses
import types

import jax
import numpy as np
import pytest
from training.test_fitting import MLP, RULE, make_data

import bep_jax as bep
from bep_jax.training import choosing


def trial(*, blind=False):
    x, y, *_ = vars(make_data(MLP, num_train=60)).values()
    # Labels of test samples that no class has: whoever looks at them is told so.
    data = bep.datasets.Dataset(np.zeros_like(x) if blind else x, y, x[:1], y[:1] + 99, 40, 3, None, ("a", "b", "c"))
    return choosing.Trial(MLP, RULE, data, 10)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_validation_samples_decide(class_weight):
    trials = {"absent": lambda: None, "blind": lambda: trial(blind=True), "seeing": trial, "again": trial}
    options = {"epochs": 20, "key": jax.random.key(0), "class_weight": class_weight}
    name, scores = choosing.choose(trials, **options)
    assert name == "seeing" and scores["seeing"] == scores["again"] > scores["blind"] + 0.1
    assert list(scores) == ["blind", "seeing", "again"]
    if class_weight:
        assert scores["blind"] == pytest.approx(1 / 3)


def test_a_trial_that_is_far_behind_ends(monkeypatch):
    epochs = []

    def counting(*args, **options):
        result = bep.fit(*args, **options)
        epochs.append(result.history["train_accuracy"].shape[1])
        return result

    monkeypatch.setattr(choosing, "fit", counting)
    trials = {"seeing": trial, "blind": lambda: trial(blind=True)}
    name, scores = choosing.choose(trials, epochs=12, key=jax.random.key(0))
    assert (name, epochs) == ("seeing", [12, 4]) and scores["seeing"] > scores["blind"] + 0.15


def test_the_first_is_taken_unless_another_is_better_by_more_than_a_standard_error(monkeypatch):
    """Of 60 samples 18 are held out: a standard error of 0.8 is 0.094."""
    found = {}

    def measured(model, rule, data, **options):
        accuracy = np.full((3, 3), found[data.classes[0]])
        return types.SimpleNamespace(interrupted=False, history={"validation_accuracy": accuracy})

    def named(name):
        return lambda: trial()._replace(data=dataclasses.replace(trial().data, classes=(name, "b", "c")))

    monkeypatch.setattr(choosing, "fit", measured)
    trials = {name: named(name) for name in ("usual", "other", "third")}
    for usual, other, third, chosen in (
        (0.71, 0.8, 0.75, "usual"),
        (0.70, 0.8, 0.75, "other"),
        (0.80, 0.7, 0.75, "usual"),
        (0.98, 0.99, 0.75, "usual"),
        (0.98, 1.0, 0.75, "other"),
    ):
        found |= {"usual": usual, "other": other, "third": third}
        choice = choosing.choose(trials, epochs=4, key=jax.random.key(0))
        assert choice.name == chosen, found
    assert list(choice.scores) == ["usual", "other"], "no other where one has everything right"
