"""The best epoch, stopping, and balanced epochs."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.test_fitting import MLP, assert_same_row, make_data, run

import bep_jax as bep
from bep_jax.training import fitting
from bep_jax.training.learner import Counts, _balanced
from bep_jax.training.watch import Watch, score


def test_best_is_the_first_of_several_and_stays_once_a_seed_would_have_stopped():
    watch = Watch.start(2)
    for epoch, scores in enumerate(([0.5, 0.2], [0.5, 0.2], [0.4, 0.3], [0.9, 0.3]), start=1):
        assert not watch.over(epoch - 1, 2)
        watch, _, better = watch.advance(np.array(scores), epoch, None, 2)
    assert watch.best_epoch.tolist() == [1, 3] and watch.best.tolist() == [0.5, 0.3] and not better.any()
    assert not watch.over(4, 2) and watch.over(5, 2) and not watch.over(50, None)


def test_balanced_score_is_the_mean_recall():
    found = Counts(np.array([[90, 1, 0]]), np.array([[90, 10, 0]]))
    assert score(found, balanced=False) == [0.91]
    assert score(found, balanced=True) == [0.55]


@pytest.mark.parametrize("count", [None, 17])
def test_balanced_rows_are_of_all_classes_alike(count):
    y, index = np.array([0] * 20 + [2] * 3 + [3] * 2, np.int32), jnp.arange(1, 25, dtype=jnp.int32)
    padded = None if count is None else jnp.int32(count)
    rows = np.asarray(_balanced(jax.random.key(0), index, jnp.asarray(y), 4, padded))
    assert rows.shape == (24,) and set(rows) <= set(range(1, 25))
    if count is None:
        assert np.bincount(y[rows]).tolist() == [8, 0, 8, 8]
        assert len(set(rows[y[rows] == 0])) == 8  # of a frequent class none twice
        assert np.bincount(rows[y[rows] > 0])[20:].min() >= 2  # of rare ones all, as often
    else:  # the padding, among it all that is rare, is not drawn
        assert set(rows[:count]) == set(range(1, 18))


def test_result_keeps_the_best_epoch():
    data = make_data(MLP)
    reports = []
    last = run(data=data, epochs=6, callbacks=[lambda r: reports.append(jax.tree.map(np.array, r.state.params))])
    best = run(data=data, epochs=6, keep="best")
    accuracy = last.history["validation_accuracy"]
    np.testing.assert_array_equal(last.best_epoch, 1 + accuracy.argmax(axis=1))
    assert (last.best_epoch < 6).any(), "the last epoch is the best: the test shows nothing"
    for s, epoch in enumerate(last.best_epoch):
        for kept, then in zip(jax.tree.leaves(best.params), jax.tree.leaves(reports[epoch - 1]), strict=True):
            np.testing.assert_array_equal(kept[s], then[s])
    for a, b in zip(jax.tree.leaves(best.params), jax.tree.leaves(last.best_params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not last.interrupted
    assert last.changed.shape == (3, 2) and (last.changed > 0).all() and (last.changed < 1).all()


def test_stopped_and_resumed_runs_are_as_one(tmp_path):
    data, options = make_data(MLP), {"keep": "best", "stop_after": 2}
    whole = run(data=data, epochs=12, **options)
    epochs = whole.history["train_accuracy"].shape[1]
    assert 3 <= epochs < 12 and epochs == whole.best_epoch.max() + 2 and not whole.interrupted
    run(data=data, epochs=2, checkpoint_dir=tmp_path, **options)
    resumed = run(data=data, epochs=12, checkpoint_dir=tmp_path, resume=True, **options)
    again = run(data=data, epochs=12, checkpoint_dir=tmp_path, resume=True, **options)
    for other in (resumed, again):
        np.testing.assert_array_equal(other.best_epoch, whole.best_epoch)
        for s in range(3):
            assert_same_row(whole, s, other._replace(**_row(other, s)))


def _row(result, s):
    rows = jax.tree.map(lambda a: a[s : s + 1], (result.params, result.test_accuracy, result.history))
    return dict(zip(("params", "test_accuracy", "history"), rows, strict=True))


def test_a_callback_stops():
    result = run(epochs=4, callbacks=[lambda report: "stop" if report.epoch == 2 else True])
    assert result.history["train_accuracy"].shape == (3, 2) and not result.interrupted


def test_rare_classes_are_learned():
    data = make_data(MLP, num_train=200)
    rare = np.flatnonzero(data.train_y == 2)[4:]
    data.train_x, data.train_y = (np.delete(a, rare, axis=0) for a in (data.train_x, data.train_y))
    result = run(data=data, epochs=16, class_weight="balanced", validation=0.2)
    history = result.history
    assert result.test_accuracy.mean() > 0.75, result.test_accuracy
    best = history["validation_balanced_accuracy"].argmax(axis=1)
    np.testing.assert_array_equal(result.best_epoch, 1 + best)


def test_margins_of_frequent_classes_are_smaller():
    limits = jax.tree.map(lambda a: a[None], bep.thresholds(MLP, bep.Rule(margin=1.0)))
    y, split = np.repeat([0, 2, 0], [36, 4, 9]), np.repeat([1, 0], [40, 9]).astype(np.int8)
    by_class = fitting._by_class(limits, MLP, SimpleNamespace(train_y=y, train_split=split), "balanced")
    np.testing.assert_array_equal(by_class.margin, [[3, 30, 30]])
    assert fitting._by_class(limits, MLP, SimpleNamespace(train_y=y), None) is limits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "first"}, "fit: keep must be 'last' or 'best', got 'first'"),
        ({"class_weight": {0: 1}}, "fit: class_weight must be None or 'balanced'"),
        ({"stop_after": 0}, "fit: stop_after must be an integer of at least 1"),
        ({"stop_after": 3, "validation": 0.0}, "fit: stop_after wants validation samples"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)
