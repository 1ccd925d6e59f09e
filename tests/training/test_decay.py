"""``fit(decay_after=...)``: hidden weights counted in finer units from some epoch on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.test_fitting import MLP, RNN, RULE, assert_same_row, make_data, run

import bep_jax as bep


def fine(state, shift, saturation):
    """A state with weights times ``2**shift``."""
    hidden = tuple(jnp.asarray(np.asarray(h, np.int32) << shift, jnp.int16) for h in state.params.hidden)
    opt_state = state.opt_state._replace(saturation=jnp.full_like(state.opt_state.saturation, saturation))
    return state._replace(params=state.params._replace(hidden=hidden), opt_state=opt_state)


@pytest.mark.parametrize(("model", "bits", "room"), [(MLP, 16, 32767), (RNN, 16, 32767), (MLP, 8, 1023)])
def test_an_update_weighs_an_eighth_and_signs_stay(model, bits, room):
    rule = bep.Rule(gate=0.3, group_size=5, bits=bits)
    found = run(model, rule, epochs=5, decay_after=3, scale=16.0)
    first = run(model, rule, epochs=3, scale=16.0)
    last = run(model, rule, epochs=2, state=fine(first.state, 3, room))
    for name, values in found.history.items():
        parts = np.concatenate([first.history[name], last.history[name]], axis=1)
        if name != "validation_accuracy":  # a run of its own holds out other samples for a start
            np.testing.assert_array_equal(values, parts, err_msg=name)
    np.testing.assert_array_equal(found.test_accuracy, last.test_accuracy)
    for h, finer in zip(found.params.hidden, last.params.hidden, strict=True):
        h, finer = np.asarray(h), np.asarray(finer)
        np.testing.assert_array_equal(h, np.maximum(np.floor_divide(finer.astype(np.int32), 8), 1 - 2 ** (bits - 1)))
        np.testing.assert_array_equal(h >= 0, finer >= 0)
    assert found.state.opt_state.saturation.tolist() == [2 ** (bits - 1) - 1] * 3
    assert run(model, rule, epochs=1, state=found.state).history["train_accuracy"].min() > 0.5


def test_where_there_is_no_room_units_stay():
    plain, found = (run(scale=8192.0, epochs=4, decay_after=after) for after in (None, 2))
    for a, b in zip(plain.params.hidden, found.params.hidden, strict=True):
        np.testing.assert_array_equal(a, b)
    last_half = run(scale=(8192.0, 16.0), epochs=4, decay_after=2)
    assert not np.array_equal(last_half.params.hidden[1], run(scale=(8192.0, 16.0), epochs=4).params.hidden[1])


def test_after_the_last_epoch_nothing_changes():
    plain, found = run(epochs=3), run(epochs=3, decay_after=3)
    for a, b in zip(jax.tree.leaves(plain.params), jax.tree.leaves(found.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_are_a_loop_and_a_run_goes_on(tmp_path):
    options = {"epochs": 6, "decay_after": 3, "scale": 16.0, "keep": "best"}
    many = run(seeds=3, **options)
    for seed in range(3):
        assert_same_row(many, seed, run(seeds=[seed], **options))
    for until in (2, 3, 5):
        folder = tmp_path / str(until)
        run(**options | {"epochs": until}, checkpoint_dir=folder)
        resumed = run(**options, checkpoint_dir=folder, resume=True)
        for a, b in zip(jax.tree.leaves(resumed[:2]), jax.tree.leaves(many[:2]), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(jax.tree.leaves(resumed.best_params), jax.tree.leaves(many.best_params), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="decay_after is 3 there, 4 here"):
        run(**options | {"decay_after": 4}, checkpoint_dir=tmp_path / "5", resume=True)


def test_devices_give_the_bits_of_one():
    options = {"epochs": 4, "decay_after": 2, "scale": 16.0, "seeds": 4, "data": make_data(MLP)}
    one = run(**options)
    for shape, axes in (((4, 2), ("seeds", "batch")), ((2,), ("seeds",))):
        with_mesh = run(**options, mesh=jax.make_mesh(shape, axes))
        for a, b in zip(jax.tree.leaves(with_mesh.params), jax.tree.leaves(one.params), strict=True):
            np.testing.assert_array_equal(np.asarray(a), b)


@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_what_is_no_epoch(value):
    with pytest.raises(ValueError, match="fit: decay_after must be an integer of at least 1"):
        run(rule=RULE, decay_after=value)
