"""Which network suits the data: what decides, and what takes no part."""

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
