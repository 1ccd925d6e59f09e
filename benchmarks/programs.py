"""The training programs that are measured: many steps in one scan, weights donated, one or several seeds."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import bep_jax as bep
from benchmarks.timing import Case
from bep_jax.baselines import qat

RULE = {"margin": 0.5, "gate": 0.05, "reinforcement": 0.5}


class Problem(NamedTuple):
    """A model and what it is fed."""

    name: str
    model: bep.Model
    batch: int
    time_steps: int | None  # of a recurrent model
    group_size: int | tuple[int, ...]
    steps: int  # in one scan

    def data(self) -> tuple[jax.Array, jax.Array]:
        """Random packed inputs ``[steps, B, (T,) W]`` and labels ``[steps, B]``; no step depends on their values."""
        rng = np.random.default_rng(0)
        time = (self.time_steps,) if self.time_steps else ()
        x = rng.integers(0, 2, (self.steps, self.batch, *time, self.model.num_inputs)).astype(bool)
        y = rng.integers(0, self.model.num_classes, (self.steps, self.batch)).astype(np.int32)
        return bep.bits.pack(jnp.asarray(x)), jnp.asarray(y)

    def rule(self) -> bep.Rule:
        return bep.Rule(group_size=self.group_size, **RULE)


class Program(NamedTuple):
    """A scan over steps: ``function(state, data)``, which returns the new state and one number a step."""

    init: Callable  # key -> state
    function: Callable


def mlp(batch: int, widths=(525, 525), num_inputs=784, group_size=105, steps=30) -> Problem:
    """The multilayer perceptron of performance.md."""
    model = bep.mlp(num_inputs=num_inputs, widths=widths, num_classes=10)
    shape = "-".join(str(n) for n in (num_inputs, *widths))
    return Problem(f"MLP {shape}, batch {batch}", model, batch, None, group_size, steps)


def rnn(batch: int, width=525, num_inputs=28, time_steps=28, group_size=105, steps=3) -> Problem:
    """The recurrent network of performance.md: an image a row a step."""
    model = bep.rnn(num_inputs=num_inputs, state_width=width, output_width=width, num_classes=10)
    name = f"RNN {num_inputs}-{width}-{width}, {time_steps} time steps, batch {batch}"
    return Problem(name, model, batch, time_steps, group_size, steps)


def tiny_mlp(batch: int = 5, steps: int = 2) -> Problem:
    """What a quick run takes for `mlp`."""
    return mlp(batch, widths=(15, 15), num_inputs=40, group_size=5, steps=steps)


def tiny_rnn(batch: int = 5, steps: int = 2) -> Problem:
    """What a quick run takes for `rnn`."""
    return rnn(batch, width=15, num_inputs=4, time_steps=3, group_size=5, steps=steps)


def tiny_conv(batch: int = 5, steps: int = 2) -> Problem:
    """What a quick run takes for `conv`."""
    return conv(batch, 6, 2, widths=(15,), group_size=5, steps=steps, side=9, patch=3, stride=2)


def conv(
    batch: int, channels=64, pixel_bits=1, widths=(525, 525), group_size=75, steps=4, side=28, patch=7, stride=3
) -> Problem:
    """A convolution under dense layers, on square images, as a rule of 28 × 28 pixels."""
    filters = ((channels, patch, stride),)
    model = bep.conv(image_shape=(side, side), channels=pixel_bits, filters=filters, widths=widths, num_classes=10)
    layers = "-".join(map(str, widths))
    name = f"convolution {channels}x{patch}x{patch}, stride {stride}, then {layers}, batch {batch}"
    return Problem(name, model, batch, None, group_size, steps)


def binary(problem: Problem) -> Program:
    """`bep.step`; the limits are part of the state, so that each seed has its own, traced."""
    model = problem.model

    def init(key):
        limits = bep.thresholds(model, problem.rule())
        params = model.init(key)
        return params, bep.optimizer(limits, key).init(params.hidden), limits

    def step(state, data):
        params, opt_state, limits = state
        params, opt_state, stats = bep.step(model, limits, params, opt_state, *data)
        return (params, opt_state, limits), stats.correct

    return Program(init, lambda state, data: lax.scan(step, state, data))


def binary_static(problem: Problem) -> Program:
    """`bep.step` with the rule as a constant of the program."""
    model, rule = problem.model, problem.rule()

    def init(key):
        params = model.init(key)
        return params, bep.optimizer(rule, key).init(params.hidden)

    def step(state, data):
        params, opt_state, stats = bep.step(model, rule, *state, *data)
        return (params, opt_state), stats.correct

    return Program(init, lambda state, data: lax.scan(step, state, data))


def binary_composed(problem: Problem) -> Program:
    """The same three lines through optax: `bep.updates`, ``opt.update``, ``optax.apply_updates``."""
    model = problem.model

    def init(key):
        limits = bep.thresholds(model, problem.rule())
        params = model.init(key)
        return params, bep.optimizer(limits, key).init(params.hidden), limits

    def step(state, data):
        params, opt_state, limits = state
        optimizer = bep.optimizer(limits, jax.random.key(0))  # its numbers are in the state
        updates, stats = bep.updates(model, limits, params, *data)
        deltas, opt_state = optimizer.update(updates, opt_state, params.hidden)
        params = params._replace(hidden=optax.apply_updates(params.hidden, deltas))
        return (params, opt_state, limits), stats.correct

    return Program(init, lambda state, data: lax.scan(step, state, data))


def straight_through(problem: Problem, batch_norm: bool = False) -> Program:
    """`qat.step`: float32, optax Adam."""
    model, adam = problem.model, qat.make_optimizer(1e-3)

    def init(key):
        variables = qat.init(key, model, batch_norm=batch_norm, num_steps=problem.time_steps)
        return variables, adam.init(variables.trained)

    def step(state, data):
        variables, opt_state, stats = qat.step(model, adam, *state, *data)
        return (variables, opt_state), stats.correct

    return Program(init, lambda state, data: lax.scan(step, state, data))


def compiled(program: Program, problem: Problem, seeds: int | None, options: dict | None, over: str = "vmap"):
    """``(jitted, state, data)``; several seeds share the data, under vmap or one after the other (``over="map"``)."""
    key, data = jax.random.key(0), problem.data()
    if seeds is None:
        init, function = program.init, program.function
    else:
        key = jax.random.split(key, seeds)
        init = jax.vmap(program.init)
        if over == "vmap":
            function = jax.vmap(program.function, in_axes=(0, None))
        else:

            def function(state, data):
                return lax.map(lambda one: program.function(one, data), state)

    return jax.jit(function, donate_argnums=0, compiler_options=options), jax.jit(init)(key), data


def plain_loop(problem: Problem) -> Case:
    """A user's own loop in Python: one call of `bep.step` under `bep.jit` a mini-batch of NumPy arrays."""
    model, (xs, ys) = problem.model, problem.data()
    batches = [(np.asarray(x), np.asarray(y)) for x, y in zip(xs, ys, strict=True)]
    params, opt_state, limits = binary(problem).init(jax.random.key(0))
    step = bep.jit(bep.step, donate_argnums=(2, 3))

    def run():
        nonlocal params, opt_state
        for x, y in batches:
            params, opt_state, stats = step(model, limits, params, opt_state, x, y)
        return params, opt_state, stats

    return Case(run, problem.steps)


def case(
    program: Program, problem: Problem, seeds: int | None = None, options: dict | None = None, over: str = "vmap"
) -> Case:
    """Steps to time; with several seeds a unit is one step of all of them."""
    function, state, data = compiled(program, problem, seeds, options, over)

    def run():
        nonlocal state
        state, counts = function(state, data)
        return state, counts

    return Case(run, problem.steps)
