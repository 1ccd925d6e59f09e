"""`step` on bad optimizer states, and what a long recurrent step keeps in memory."""

import jax
import jax.numpy as jnp
import optax
import pytest

import bep_jax as bep
from bep_jax.training import learner
from bep_jax.training.fitting import BinaryLearner

MODEL = bep.mlp(num_inputs=6, widths=(4,), num_classes=2)
RULE = bep.Rule(group_size=2)
X, Y = bep.bits.pack(jnp.ones((3, 6), bool)), jnp.zeros(3, jnp.int32)


def test_long_recurrent_step_fits_in_two_gibibytes():
    model = bep.rnn(num_inputs=1035, state_width=1035, output_width=1035, num_classes=10)
    limits = bep.thresholds(model, bep.Rule())
    params, opt_state = jax.eval_shape(BinaryLearner(model).init, limits, *[jax.random.key(0)] * 2)
    x = jax.ShapeDtypeStruct((64, 1000, 33), jnp.uint32)
    y = jax.ShapeDtypeStruct((64,), jnp.int32)
    compiled = jax.jit(bep.step).lower(model, bep.Rule(), params, opt_state, x, y).compile()
    sizes = compiled.memory_analysis()
    assert sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes < 2**31


def test_step_wants_the_state_of_its_optimizer():
    params = MODEL.init(jax.random.key(0))
    chained = optax.chain(optax.identity(), bep.optimizer(RULE, jax.random.key(1)))
    with pytest.raises(TypeError, match=r"step: wanted an OptimizerState.*compose bep.updates and opt.update"):
        bep.step(MODEL, RULE, params, chained.init(params.hidden), X, Y)
    states = jax.vmap(lambda key: bep.optimizer(RULE, key).init(params.hidden))(jax.random.split(jax.random.key(2), 2))
    with pytest.raises(ValueError, match=r"step: .*under vmap pass one seed's state"):
        bep.step(MODEL, RULE, params, states, X, Y)


def test_count_by_class_takes_any_number_of_rows():
    params = MODEL.init(jax.random.key(0))
    x = bep.bits.pack(jax.random.bernoulli(jax.random.key(1), shape=(600, 6)))
    y = jnp.argmax(bep.logits(MODEL, params, x), axis=1).astype(jnp.int32)
    count = jax.jit(lambda y, index: learner.count_by_class(BinaryLearner(MODEL), params, x, y, index).right.sum())
    for rows in (1, 256, 600):
        index = jnp.arange(rows, dtype=jnp.int32)
        assert int(count(y, index)) == rows
        assert int(count(1 - y, index)) == 0
