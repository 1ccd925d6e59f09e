"""`bep.jit`: programs of users are compiled as those of `fit` are, read off LLVM's text and not off a clock."""

import re

import jax
import jax.numpy as jnp
import pytest

import bep_jax as bep
from bep_jax.kernels import isolate
from bep_jax.learning import chain, step
from bep_jax.training import devices

MODEL = bep.mlp(num_inputs=6, widths=(4,), num_classes=2)


@pytest.fixture
def weights_and_inputs():
    return MODEL.init(jax.random.key(0)), jnp.ones((3, 1), jnp.uint32)


def vector_widths(jitted, folder, *arguments):
    """What the functions of a compiled program say of the vectors that they prefer."""
    jitted.lower(*arguments).compile(compiler_options={"xla_dump_to": str(folder)})
    text = "".join(path.read_text() for path in folder.glob("*.ll"))
    return set(re.findall(r'"prefer-vector-width"="(\d+)"', text))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="compares programs of XLA:CPU")
def test_a_program_of_ones_own_has_the_vectors_of_fit(tmp_path, weights_and_inputs):
    def scores(params, x):
        return bep.logits(MODEL, params, x)

    in_fit = devices.ONE_DEVICE.program(lambda x: scores(weights_and_inputs[0], x), (0,))
    widths = {
        "fit": vector_widths(in_fit, tmp_path / "fit", weights_and_inputs[1][None]),
        "bep.jit": vector_widths(bep.jit(scores), tmp_path / "ours", *weights_and_inputs),
        "jax.jit": vector_widths(jax.jit(scores), tmp_path / "plain", *weights_and_inputs),
    }
    assert widths["bep.jit"] == widths["fit"] == {"512"}
    assert widths["jax.jit"] != {"512"}  # else bep.jit is not needed any more


def test_called_eagerly_a_function_is_one_program(weights_and_inputs):
    """README's ten lines: as fast as under `bep.jit`, which the programs below are made by."""
    params, x = weights_and_inputs
    y, rule = jnp.zeros(3, jnp.int32), bep.thresholds(MODEL, bep.Rule(group_size=2))
    state = bep.optimizer(rule, jax.random.key(0)).init(params.hidden)
    for program in (chain._updates, chain._logits, step._step):
        assert isinstance(program, isolate._Jitted)
        program.clear_cache()
    programs = []
    listener = lambda name, _, **__: programs.append(name)  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        bep.updates(MODEL, rule, params, x, y)
        bep.logits(MODEL, params, x)
        bep.step(MODEL, rule, params, state, x, y)
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert sum(name.endswith("backend_compile_duration") for name in programs) == 3


def test_it_is_a_jit():
    @bep.jit(static_argnames="factor")
    def scaled(x, *, factor):
        return x * factor

    x = jnp.arange(3)
    assert scaled(x, factor=2).tolist() == [0, 2, 4]
    assert scaled.eval_shape(x, factor=2).shape == (3,)
    assert jax.jit(lambda x: scaled(x, factor=3))(x).tolist() == [0, 3, 6]  # whose options count
    assert jax.vmap(lambda x: scaled(x, factor=4))(x).tolist() == [0, 4, 8]
    assert scaled.__name__ == "scaled"
