"""`fit` on a mesh: the bits of one device on eight, and on two processes of four; errors; lowering for accelerators."""

import functools
import os
import pathlib
import socket
import subprocess
import sys

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spread
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import bep_jax as bep
from bep_jax.training import devices, loop
from bep_jax.training.fitting import BinaryLearner
from bep_jax.training.learner import TrainState
from bep_jax.training.learner import epoch as one_epoch


@functools.cache
def _on_one_device(name):
    return spread.arrays(spread.fit(spread.MODELS[name]))


def _assert_same(got, want):
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert got[name].dtype == value.dtype, name
        np.testing.assert_array_equal(got[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("name", "shape", "axes"),
    [
        ("mlp", (8,), ("batch",)),  # ten samples over eight devices
        ("rnn", (4, 2), ("batch", "seeds")),
        ("conv", (2, 4), ("seeds", "batch")),  # and its images moved, every sample by a draw of its own
    ],
)
def test_eight_devices_give_the_bits_of_one(name, shape, axes):
    result = spread.fit(spread.MODELS[name], jax.make_mesh(shape, axes))
    _assert_same(spread.arrays(result), _on_one_device(name))
    assert len(result.params.hidden[0].sharding.device_set) == np.prod(shape)
    if "seeds" in axes:
        (parts,) = (n for n, axis in zip(shape, axes, strict=True) if axis == "seeds")
        assert result.params.hidden[0].addressable_shards[0].data.shape[0] == spread.SEEDS // parts


def test_a_run_goes_on_with_other_devices(tmp_path):
    first = spread.fit(spread.MODELS["mlp"], jax.make_mesh((4,), ("seeds",)), epochs=6, checkpoint_dir=tmp_path)
    assert first.params.hidden[0].addressable_shards[0].data.shape[0] == 1
    result = spread.fit(spread.MODELS["mlp"], None, checkpoint_dir=tmp_path, resume=True)
    _assert_same(spread.arrays(result), _on_one_device("mlp"))


def test_two_processes_of_four_devices_give_the_bits_of_one(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    script = pathlib.Path(__file__).parents[1] / "spread.py"
    group = [
        subprocess.Popen(
            [sys.executable, script, address, "2", str(process), tmp_path / f"{process}.npz"],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(2)
    ]
    try:
        output = [process.communicate(timeout=500)[0] for process in group]
    finally:
        for process in group:
            process.kill()
    assert [process.returncode for process in group] == [0, 0], "\n".join(output)
    for process in range(2):
        with np.load(tmp_path / f"{process}.npz") as saved:
            got = dict(saved)
        assert got.pop("devices").tolist() == [8, 4]
        _assert_same(got, _on_one_device("mlp"))


def test_a_step_over_parts_of_a_batch_is_the_step_over_all_of_it():
    case = cases.FEW[0]
    params = cases.draw_params(case)
    state = bep.optimizer(case.rule, jax.random.key(3)).init(params.hidden)
    (batch,) = cases.draw_batches(case._replace(batch=6), 1)
    x, y, where = (a.reshape(3, 2, *a.shape[1:]) for a in (batch.x, batch.y, batch.where))
    step = functools.partial(bep.step, case.model, case.rule, params, state)
    split = jax.jit(jax.vmap(functools.partial(step, axis_name="parts"), axis_name="parts"))(x, y, where)
    whole = jax.jit(step)(batch.x, batch.y, batch.where)
    for part in range(3):
        cases.assert_trees_equal(jax.tree.map(lambda a, part=part: a[part], split), whole)


@pytest.mark.parametrize("batch", [400, 1200, 4096])  # products in one pass, in several, in panels
def test_a_step_in_ones_own_shard_map(batch):
    model, rule = bep.mlp(num_inputs=784, widths=(525, 525), num_classes=10), bep.Rule()
    params = jax.eval_shape(model.init, jax.random.key(0))
    state = jax.eval_shape(lambda: bep.optimizer(rule, jax.random.key(1)).init(params.hidden))
    mesh = jax.make_mesh((2,), ("batch",), (AxisType.Auto,), devices=jax.devices()[:2])
    whole, parts = P(), P("batch")
    step = jax.shard_map(  # with its default checks, of what varies over the mesh
        functools.partial(bep.step, model, rule, axis_name="batch"),
        mesh=mesh,
        in_specs=(whole, whole, parts, parts),
        out_specs=whole,
    )
    x, y = jax.ShapeDtypeStruct((batch, 25), "uint32"), jax.ShapeDtypeStruct((batch,), "int32")
    new, _, stats = jax.eval_shape(step, params, state, x, y)
    assert new == params
    assert stats.active.shape == ()


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_an_epoch_on_a_mesh_lowers_for_accelerators(platform):
    model, place = spread.MODELS["rnn"], devices.placement(jax.make_mesh((2, 4), ("seeds", "batch")), 2)
    learner, limits = BinaryLearner(model, batch_axis="batch"), bep.thresholds(model, bep.Rule(group_size=5))

    def epoch(settings, key_data, x, y):
        keys = jax.random.split(jax.random.wrap_key_data(key_data))
        state = TrainState(*learner.init(settings, *keys), keys[0], jnp.int32(0))
        state, stats = one_epoch(learner, settings, state, x, y, jnp.arange(53, dtype=jnp.int32), 10, "batch")
        return state.params, stats

    program = place.program(epoch, (0, 0, None, None))
    keys = jnp.zeros((2, 2), jnp.uint32)
    arguments = (loop.per_seed(limits, False, 2), keys, jnp.zeros((53, 4, 1), jnp.uint32), jnp.zeros(53, jnp.int32))
    traced = program.trace(*arguments)
    text, here = (traced.lower(lowering_platforms=(name,)).as_text() for name in (platform, "cpu"))
    assert text.count("stablehlo.dot_general") > here.count("stablehlo.dot_general")
    assert text.count("stablehlo.popcnt") < here.count("stablehlo.popcnt")
    for lowered in (text, here):
        assert "stablehlo.all_reduce" in lowered
        assert "f32" not in lowered and "custom_call" not in lowered


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((2, 2), ("batch", "model"), r"the axes of mesh must be among .*'model'"),
        ((3,), ("seeds",), r"4 seeds do not divide over the 3 devices .* take 3 or 6 seeds"),
        ((8,), ("seeds",), r"4 seeds do not divide over the 8 devices .* take 8 seeds"),
    ],
)
def test_bad_meshes(shape, axes, message):
    with pytest.raises(ValueError, match=f"^fit: {message}"):
        spread.fit(spread.MODELS["mlp"], jax.make_mesh(shape, axes))


@pytest.mark.parametrize("cores", [2, 3])  # for four seeds: two each, or one at a time
def test_threads_give_the_bits_of_one_program(monkeypatch, cores):
    monkeypatch.setattr(devices, "usable_cores", lambda: cores)
    assert devices.placement("auto", spread.SEEDS).threads == cores
    _assert_same(spread.arrays(spread.fit(spread.MODELS["mlp"], "auto")), _on_one_device("mlp"))


def test_cores_are_no_more_than_others_leave(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert devices.usable_cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    most = devices.usable_cores()
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert devices.usable_cores() == most >= 1


def test_a_mesh_that_is_set_is_read_with_explicit_axes_too():
    want = _on_one_device("mlp")
    with jax.set_mesh(jax.make_mesh((4,), ("seeds",), (AxisType.Explicit,))):
        result = spread.fit(spread.MODELS["mlp"])
    _assert_same(spread.arrays(result), want)
    assert len(result.params.hidden[0].sharding.device_set) == 4
    with jax.set_mesh(jax.make_mesh((4,), ("model",), (AxisType.Auto,))):
        assert devices.placement(None, 4) == devices.ONE_DEVICE


def test_no_mesh():
    with pytest.raises(TypeError, match=r"^fit: mesh must be a jax.sharding.Mesh, .*got 8"):
        spread.fit(spread.MODELS["mlp"], 8)
