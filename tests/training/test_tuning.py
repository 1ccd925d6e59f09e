"""`tune`: candidates as rows of one program, rounds, resuming, and what comes out."""

import dataclasses
import types

import jax
import numpy as np
import pytest
from training.test_fitting import MLP, RULE, make_data, run

import bep_jax as bep
from bep_jax.training import search_log, tuning
from bep_jax.training.fitting import start_states


def test_states_of_several_scales_are_those_that_fit_starts_from():
    rules, seeds, scales = [RULE, RULE], [4, 0], [8.0, (64.0, 8.0)]
    limits = jax.tree.map(lambda *a: np.stack(a), *(bep.thresholds(MLP, rule) for rule in rules))
    many = run(rule=limits, seeds=seeds, state=start_states(MLP, rules, seeds, scales), epochs=3)
    for i, seed in enumerate(seeds):
        one = run(seeds=[seed], scale=scales[i], epochs=3)
        for a, b in zip(jax.tree.leaves(many.params), jax.tree.leaves(one.params), strict=True):
            np.testing.assert_array_equal(a[i], b[0])


@pytest.fixture(scope="module")
def shapes():
    x, y, *_ = vars(make_data(MLP, num_train=120)).values()
    data = bep.datasets.Dataset(x, y, x[:1], y[:1], 40, 3, None, ("a", "b", "c"))
    return [tuning.Shape("", "15 30", data, MLP)]


def search(shapes, folder, seed=1, **options):
    options = {"batch_size": 20, "class_weight": None, "validation": 0.2} | options
    return tuning.search(shapes, 0.0, 9, 0.5, seed, folder, False, options)


def test_the_best_is_not_below_the_defaults_and_a_search_goes_on(shapes, tmp_path, monkeypatch):
    best = search(shapes, tmp_path)
    assert best.validation_accuracy >= best.default_accuracy > 0.5
    assert [row["round"] for row in best.table] == sorted((row["round"] for row in best.table), reverse=True)
    lines = (tmp_path / search_log.FILE).read_text().splitlines(keepends=True)
    (tmp_path / search_log.FILE).write_text("".join(lines[:-2]) + lines[-1][:20])  # killed while it wrote
    again = search(shapes, tmp_path)
    assert (again.rule, again.fit_options, again.validation_accuracy) == (
        best.rule,
        best.fit_options,
        best.validation_accuracy,
    )
    monkeypatch.setattr(tuning, "fit", None)  # all is there
    assert search(shapes, tmp_path).table == again.table
    with pytest.raises(ValueError, match="is of another search"):
        search(shapes, tmp_path, seed=2)
    first, second, *others = (tmp_path / search_log.FILE).read_text().splitlines(keepends=True)
    for damage in (
        second[:20] + "\n", "[]\n", "[" * 99_999 + "\n", second.replace("seconds", "s"), second.replace("[0,", "[7,"),
        second.replace("[0,", '["",'), second.replace("[0, ", "["), second.replace('"round": 0', '"round": null'),
        second.replace("checksum", "checksun"), second.replace('"epochs": ', '"epochs": 1'), second + first,
    ):  # fmt: skip
        (tmp_path / search_log.FILE).write_text("".join([first, damage, *others]))
        with pytest.raises(ValueError, match=r"^tune: .*tune.jsonl is damaged: "):
            search(shapes, tmp_path)


def test_luck_does_not_beat_the_law(shapes):
    """Within a standard error of two draws of a fifth of 120 samples, 48 in all: of 75 %, 6.25 points."""
    options = {"validation": 0.2, "class_weight": None}
    assert tuning._error(0.75, shapes[0], options) == pytest.approx(0.0625)
    few = shapes[0]._replace(samples=dataclasses.replace(shapes[0].samples, train_y=np.repeat([0, 1, 2], [10, 50, 60])))
    assert tuning._error(0.75, few, {**options, "class_weight": "balanced"}) > 0.0625
    with pytest.raises(ValueError, match="tune: wanted validation samples, which decide"):
        search(shapes, None, validation=0.0)


def test_what_does_not_fit_into_the_time_is_not_begun(shapes, monkeypatch):
    """On a clock by which every epoch of a row takes a second: 9 epochs at most, 1 and 3 in the rounds before."""
    seconds, began = [0.0], tuning._Search._fit

    def takes(search, shape, rows, epochs):
        seconds[0] += len(rows) * epochs
        return began(search, shape, rows, epochs)

    monkeypatch.setattr(tuning._Search, "_fit", takes)
    monkeypatch.setattr(tuning, "time", types.SimpleNamespace(monotonic=lambda: seconds[0]))
    for minutes, epochs in ((0, (1, 3, 3)), (48 / 60, (1, 3, 4)), (10, (1, 3, 9))):
        options = {"batch_size": 20, "class_weight": None, "validation": 0.2}
        best = tuning.search(shapes, minutes, 9, 0.5, 1, None, False, options)
        assert [max(r["epochs"] for r in best.table if r["round"] == n) for n in (1, 2, 3)] == list(epochs)
        assert best.fit_options["epochs"] == 9
        assert seconds[0] <= max(60 * minutes, 28)
        seconds[0] = 0.0


def test_the_first_network_is_in_the_last_round(shapes):
    """Whatever shorter rounds like better: it is what training takes where nothing is named."""
    better = shapes[0]._replace(model="better")
    constant = dataclasses.replace(shapes[0].samples, train_x=np.zeros_like(shapes[0].samples.train_x))
    first = tuning.Shape("", "first", constant, MLP)
    best = search([first, better], None)
    last = [row["model"] for row in best.table if row["round"] == 3]
    assert set(last) == {"better", "first"} and last[-1] == "first" and best.network == "better"
    assert best.validation_accuracy >= best.default_accuracy > 0.5


def test_a_candidate_is_a_rule_that_fits(shapes):
    rule, scale = tuning.settings(shapes[0], tuning.Candidate(0, 0.25, 2.0, 4.0, 2.0, 1.0), 100)
    assert rule == bep.Rule(margin=0.25, gate=0.404, group_size=(3, 5), reinforcement=1.0)
    assert scale == (128.0, 128.0)
    assert tuning.settings(shapes[0], tuning.Candidate(0, 0.5, 1.0, 1.0, 1.0, 0.5), 100) == (bep.Rule(), None)
