"""`BEPTimeSeriesClassifier`: aeon's own checks, and series of unequal length."""

import pickle

import numpy as np
import pytest
from aeon.testing.estimator_checking import check_estimator
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import bep_jax as bep
from bep_jax.estimators import BEPTimeSeriesClassifier


def small(**parameters):
    return BEPTimeSeriesClassifier(
        **{"network": "dense", "widths": (35,), "epochs": 10, "n_networks": 2, "random_state": 0} | parameters
    )


def waves(size, *, unequal, seed=0):
    """Two channels, the second noise; classes by frequency, aligned at the end."""
    rng = np.random.default_rng(seed)
    y = np.arange(size) % 3
    x = []
    for label in y:
        steps = rng.integers(10, 21) if unequal else 20
        wave = np.sin(np.arange(-steps, 0) * (0.2, 0.6, 1.2)[label]) + rng.normal(0, 0.2, steps)
        x.append(np.stack([wave, rng.normal(size=steps)]))
    return x if unequal else np.stack(x), np.array(["slow", "middle", "fast"])[y]


def test_aeon_checks():
    results = check_estimator(BEPTimeSeriesClassifier, raise_exceptions=False)
    assert len(results) > 20
    assert not {name: result for name, result in results.items() if result != "PASSED"}


@pytest.mark.parametrize("unequal", [False, True])
def test_learns_series(unequal):
    (x, y), (test_x, test_y) = waves(60, unequal=unequal), waves(30, unequal=unequal, seed=1)
    classifier = small().fit(x, y)
    assert classifier.score(test_x, test_y) > 0.85
    assert classifier.classes_.tolist() == ["fast", "middle", "slow"]
    assert classifier.decision_function(test_x).shape == (30, 3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict(test_x), classifier.predict(test_x))
    assert not hasattr(clone(classifier), "networks_")
    if unequal:
        longer = [np.concatenate([np.zeros((2, 30)), one], axis=1) for one in test_x]
        assert np.mean(classifier.predict(longer) == test_y) > 0.8, "the last steps count"


def test_cross_validation_and_networks():
    x, y = waves(60, unequal=False)
    assert cross_val_score(small(), x, y, cv=3).mean() > 0.85
    chosen = small(network="auto", epochs=2, n_networks=1).fit(x, y)
    accuracies = chosen.validation_accuracy_
    assert list(accuracies) == ["convolution", "dense", "rocket", "recurrent"][: len(accuracies)]
    best = max(accuracies.values())
    assert accuracies[chosen.network_] == best or chosen.network_ == "convolution"
    assert chosen.predict(x).shape == (60,)
    with pytest.raises(ValueError, match=r"network must be .* or 'auto', got 'deep'"):
        small(network="deep").fit(x, y)


def test_goes_on_learning():
    (x, y), (test_x, test_y) = waves(60, unequal=True), waves(30, unequal=True, seed=1)
    stream = small()
    with pytest.raises(ValueError, match="first call wants classes"):
        stream.partial_fit(x, y)
    for i in range(12):
        stream.partial_fit(x, y, classes=y[:3] if i == 0 else None)
    assert stream.score(test_x, test_y) > 0.7 and stream.predict_proba(test_x).shape == (30, 3)
    with pytest.raises(ValueError, match=r"labels \['new'\] are not among the classes"):
        stream.partial_fit(x[:2], ["new", "slow"])
    warm = small(epochs=2, warm_start=True).fit(x, y)
    encoder = warm.encoder_
    assert warm.fit(x, y).encoder_ is encoder and int(warm.networks_.state.epoch[0]) == 4
    with pytest.raises(ValueError, match="warm_start wants the classes of the last fit"):
        warm.fit(x, np.where(y == "slow", "slower", y))
    assert int(warm.set_params(warm_start=False).fit(x, y).networks_.state.epoch[0]) == 2


def test_recurrent_networks_read_the_same_bits():
    x, y = waves(20, unequal=False)
    classifier = small(network="recurrent", epochs=1, n_networks=1, bits=5).fit(x, y)
    words = classifier.encoder_(np.swapaxes(x, 1, 2).reshape(20, -1))
    steps = bep.bits.unpack(classifier._read("recurrent", classifier.encoder_, x), num_bits=10)
    assert steps.shape == (20, 20, 10)
    np.testing.assert_array_equal(np.reshape(steps, (20, -1)), bep.bits.unpack(words, num_bits=200))


def events(size, seed=0):
    """One channel of unequal length; classes are one, two or three bursts, anywhere."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(size) % 3, []
    for label in y:
        series = rng.normal(0, 0.1, rng.integers(30, 41))
        for slot in rng.choice(6, label + 1, replace=False):
            series[5 * slot : 5 * slot + 3] += 2
        x.append(series[None])
    return x, y


def test_counts_of_kernels():
    """Where nothing stands in time, in every way of learning; longer and shorter series; equal from equal seeds."""
    (x, y), (test_x, test_y) = events(120), events(60, seed=1)
    classifier = small(network="auto").fit(x, y)
    assert classifier.network_ == "rocket" and isinstance(classifier.encoder_, bep.encode.Rocket)
    accuracies = classifier.validation_accuracy_
    assert accuracies["rocket"] == max(accuracies.values()) > accuracies["dense"] + 0.2
    assert classifier.score(test_x, test_y) > 0.85
    again = pickle.loads(pickle.dumps(classifier))
    scores = classifier.decision_function(test_x)
    np.testing.assert_array_equal(again.decision_function(test_x), scores)
    alone = [small(network="rocket").fit(x, y).decision_function(test_x) for _ in range(2)]
    np.testing.assert_array_equal(alone[0], alone[1])
    others = [np.pad(one, ((0, 0), (40, 0))) for one in test_x], [one[:, -12:] for one in test_x]
    assert np.mean(classifier.predict(others[0]) == test_y) > 0.6, "the last steps count"
    assert classifier.predict(others[1]).shape == (60,)
    again.set_params(warm_start=True).fit(x, y)
    assert int(again.networks_.state.epoch[0]) == 20 and again.network_ == "rocket"
    stream = small(network="rocket", bits=2)
    for _ in range(2):
        stream.partial_fit(x, y, classes=[0, 1, 2])
    assert stream.encoder_.num_bits == 2 * stream.encoder_.biases.size
