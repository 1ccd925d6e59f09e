"""`fit`: seeds in one program, the group-size schedule, interruption, errors."""

import os
import signal
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import bep_jax as bep
from bep_jax.training import loop

MLP = bep.mlp(num_inputs=40, widths=(15, 30), num_classes=3)
RNN = bep.rnn(num_inputs=20, state_width=15, output_width=30, num_classes=3)
RULE = bep.Rule(gate=0.3, group_size=5)


def make_data(model, *, draws=None, num_train=53, num_test=21):
    """Noisy copies of one pattern a class, with odd sizes; ``draws`` adds a leading axis."""
    rng = np.random.default_rng(0)
    steps = (4,) if model.recurrent else ()

    def part(size):
        y = rng.integers(0, model.num_classes, (draws or 1, size)).astype(np.int32)
        x = np.where(rng.random((*y.shape, *steps, model.num_inputs)) < 0.2, ~patterns[y], patterns[y])
        words = np.asarray(bep.bits.pack(x))
        return (words, y) if draws else (words[0], y[0])

    patterns = rng.random((model.num_classes, *steps, model.num_inputs)) < 0.5
    (train_x, train_y), (test_x, test_y) = part(num_train), part(num_test)
    return SimpleNamespace(train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y)


def run(model=MLP, rule=RULE, data=None, **options):
    defaults = {"epochs": 4, "batch_size": 10, "seeds": 3, "progress": False}
    return bep.fit(model, rule, make_data(model) if data is None else data, **defaults | options)


def assert_same_row(many, row, one):
    """Row ``row`` of a result with many seeds is the only row of ``one``, bit for bit."""
    np.testing.assert_array_equal(many.test_accuracy[row], one.test_accuracy[0])
    for a, b in zip(jax.tree.leaves(many.params), jax.tree.leaves(one.params), strict=True):
        np.testing.assert_array_equal(a[row], b[0])
    for name, values in many.history.items():
        np.testing.assert_array_equal(values[row], one.history[name][0], err_msg=name)


@pytest.mark.parametrize("model", [MLP, RNN], ids=["mlp", "rnn"])
def test_many_seeds_are_a_loop_over_seeds(model):
    many = run(model, seeds=3, patience=1)
    for seed in range(3):
        assert_same_row(many, seed, run(model, seeds=[seed], patience=1))


def test_draws_are_a_loop_over_draws():
    data = make_data(MLP, draws=2)
    many = run(data=data, seeds=2)
    for seed in range(2):
        row = SimpleNamespace(**{name: a[seed] for name, a in vars(data).items()})
        assert_same_row(many, seed, run(data=row, seeds=[seed]))


def test_sweep_is_a_loop_over_rules():
    rules = [bep.Rule(gate=0.1, group_size=5), bep.Rule(gate=0.6, margin=0.9, group_size=15, reinforcement=1.0)]
    limits = jax.tree.map(lambda *a: jnp.stack(a), *(bep.thresholds(MLP, r) for r in rules))
    many = run(rule=limits, seeds=[4, 4])
    for i, rule in enumerate(rules):
        assert_same_row(many, i, run(rule=rule, seeds=[4]))


def test_learns():
    for model in (MLP, RNN):
        result = run(model, epochs=40)
        assert (result.test_accuracy > 0.8).all(), result.test_accuracy


def test_fit_is_steps_over_epochs():
    """One seed of fit, written out: epochs of shuffled batches, a partial last one, E of the epoch before."""
    data, batch_size = make_data(MLP), 10
    result = run(data=data, epochs=3, seeds=(2, 0, 1), validation=0.0, patience=None)
    limits = bep.thresholds(MLP, RULE)
    state_key, split_key = jax.random.split(jax.random.fold_in(jax.random.key(0), 2))
    rows = jax.random.permutation(split_key, jnp.arange(53, dtype=jnp.int32))
    init_key, draw_key, shuffle_key = jax.random.split(state_key, 3)
    params = MLP.init(init_key)
    opt_state = bep.optimizer(limits, draw_key).init(params.hidden)
    for epoch in range(3):
        order = np.asarray(jax.random.permutation(jax.random.fold_in(shuffle_key, epoch), rows))
        correct = 0
        for start in range(0, 53, batch_size):
            batch = order[start : start + batch_size]
            args = jnp.asarray(data.train_x[batch]), jnp.asarray(data.train_y[batch])
            params, opt_state, stats = bep.step(MLP, limits, params, opt_state, *args)
            correct += int(stats.correct)
        opt_state = bep.rescale(opt_state, 1 - correct / 53)
        assert result.history["train_accuracy"][0, epoch] == correct / 53
    for a, b in zip(params.hidden, result.params.hidden, strict=True):
        np.testing.assert_array_equal(a, b[0])
    predictions = np.argmax(bep.logits(MLP, params, jnp.asarray(data.test_x)), axis=1)
    assert result.test_accuracy[0] == (predictions == data.test_y).mean()


def test_group_sizes_follow_the_schedule():
    result = run(epochs=12, patience=2, validation=0.3, seeds=4)
    held_out = round(0.3 * 53)
    for seed in range(4):
        correct = np.round(result.history["validation_accuracy"][seed] * held_out).astype(int).tolist()
        sizes = reference.group_size_schedule((15, 30), (5, 5), correct, patience=2)[:-1]
        np.testing.assert_array_equal(result.history["group_size_1"][seed], [s[0] for s in sizes])
        np.testing.assert_array_equal(result.history["group_size_2"][seed], [s[1] for s in sizes])
    assert result.history["group_size_2"].max() > 5, "the schedule never moved: the test shows nothing"


@pytest.mark.parametrize("options", [{"patience": None}, {"validation": 0.0, "patience": 1}])
def test_group_sizes_stay_without_a_schedule(options):
    assert (run(epochs=6, **options).history["group_size_1"] == 5).all()


def test_history():
    data = make_data(MLP)
    result = run(data=data, epochs=3)
    names = {"train_accuracy", "validation_accuracy", "trigger_rate", "mask_density_1", "mask_density_2"}
    assert result.history.keys() == names | {"group_size_1", "group_size_2"}
    assert all(values.shape == (3, 3) for values in result.history.values())
    assert all(
        (values >= 0).all() and (values <= 1).all() for name, values in result.history.items() if "size" not in name
    )
    for seed, rows in enumerate(result.held_out):
        params = jax.tree.map(lambda a, seed=seed: a[seed], result.params)
        predictions = np.argmax(bep.logits(MLP, params, jnp.asarray(data.train_x[rows])), axis=1)
        assert np.mean(predictions == data.train_y[rows]) == result.history["validation_accuracy"][seed, -1]


def test_a_second_run_and_another_rule_compile_nothing():
    compiled = []

    def listen(event, duration, **kwargs):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    run(epochs=1, batch_size=7)  # which no other test has
    assert compiled, "the event has another name now: the test shows nothing"
    compiled.clear()
    rule = bep.Rule(margin=0.9, gate=0.1, group_size=15, reinforcement=0.1, bits=9)
    run(epochs=3, batch_size=7, rule=rule, seeds=(5, 6, 7), scale=70.0)
    assert not compiled


def test_callbacks_and_progress(capsys):
    reports = []
    run(epochs=2, callbacks=[reports.append], progress=True)
    assert [(r.epoch, r.epochs) for r in reports] == [(1, 2), (2, 2)]
    assert reports[0].metrics["train_accuracy"].shape == (3,)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "stop", [lambda: os.kill(os.getpid(), signal.SIGINT), lambda: (_ for _ in ()).throw(KeyboardInterrupt)]
)
def test_interrupt_returns_what_there_is(stop):
    before = signal.getsignal(signal.SIGINT)
    result = run(epochs=50, callbacks=[lambda report: stop() if report.epoch == 3 else None])
    assert result.history["train_accuracy"].shape == (3, 3)
    whole = run(epochs=3)
    np.testing.assert_array_equal(result.test_accuracy, whole.test_accuracy)
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_stops_at_once():
    def twice(report):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    assert run(epochs=50, callbacks=[twice]).history["train_accuracy"].shape == (3, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"fit: epochs must be an integer of at least 1, got 0"),
        ({"batch_size": 0}, r"fit: batch_size"),
        ({"patience": 0}, r"fit: patience"),
        ({"validation": 1.0}, r"fit: validation must be a fraction in \[0, 1\), got 1.0"),
        ({"validation": 0.999}, r"fit: validation=0.999 leaves none of 53 samples"),
        ({"seeds": 0}, r"fit: seeds"),
        ({"seeds": [-1]}, r"fit: seeds"),
        ({"scale": 0.0}, r"scale must be positive"),
        ({"rule": bep.Rule(group_size=4)}, r"group_size=4 must divide every width"),
    ],
)
def test_bad_numbers(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"train_y": np.full(53, 3, np.int32)}, ValueError, r"fit: training data: labels must be in 0..2"),
        ({"test_y": np.full(21, -1, np.int32)}, ValueError, r"fit: test data: labels must be in 0..2"),
        ({"train_x": np.zeros((53, 3), np.uint32)}, ValueError, r"fit: training data: x must be \[B, W\]"),
        ({"train_x": np.full((53, 2), 2**32 - 1, np.uint32)}, ValueError, r"padding bits must be 0"),
        ({"train_x": np.zeros((53, 2), np.float32)}, TypeError, r"packed uint32 words"),
        ({"train_x": np.zeros((0, 2), np.uint32), "train_y": np.zeros(0, np.int32)}, ValueError, r"x is empty"),
        ({"train_y": np.zeros(50, np.int32)}, ValueError, r"y must be \[B\] = \(53,\)"),
    ],
)
def test_bad_data(change, error, message):
    with pytest.raises(error, match=message):
        run(data=SimpleNamespace(**vars(make_data(MLP)) | change))


def test_data_of_another_kind():
    with pytest.raises(TypeError, match=r"fit: data must have train_x"):
        run(data=SimpleNamespace(train_x=1))
    with pytest.raises(ValueError, match=r"fit: data hold 2 draws, for 3 seeds"):
        run(data=make_data(MLP, draws=2))
    limits = jax.tree.map(lambda a: a[None], bep.thresholds(MLP, RULE))
    with pytest.raises(ValueError, match=r"leading axis of 1, for 3 seeds"):
        run(rule=limits)


def test_bar_shows_accuracies():
    metrics = {"train_accuracy": np.array([0.5]), "trigger_rate": np.array([1.0])}
    assert list(loop._shown(metrics)) == ["train_accuracy"]
