"""The paper's Table 2, an estimate, measured: what binary training and float32 with Adam cost, pass by pass."""

import jax
import jax.numpy as jnp
from jax import lax

import bep_jax as bep
from benchmarks import memory, programs, timing
from benchmarks.breakdown import rewrite
from benchmarks.programs import Problem, Program
from benchmarks.report import Column, Report
from benchmarks.timing import Spread
from bep_jax.baselines import qat

COLUMNS = (
    Column("name", "training of"),
    Column("method", "method"),
    Column("weight_bits", "training state, bits a weight", 1),
    Column("error_bits", "error signal, bits a neuron"),
    Column("forward", "forward, µs"),
    Column("backward", "backward, µs"),
    Column("update", "update, µs"),
    Column("step", "step, µs"),
    Column("faster", "step against float32", 2, "×"),
    Column("counted", "memory counted, MB", 2),
    Column("smaller", "against float32", 2, "×"),
)


def run(options, clock: timing.Clock) -> Report:
    """Measures both problems."""
    report = Report(
        "Table 2, measured",
        (
            "Forward: up to the logits, keeping what the backward pass needs. Backward: up to winners and desired "
            "activations of all layers here, the gradients of all weights there. Update: the rest of the step: "
            "the products of winners and inputs, reinforcement and saturation here, Adam and clipping there. A pass is "
            "the difference between programs that stop after it and before it. State: int16 hidden weights, classifier "
            "and keys here, latent weights and two moments there. An error signal is the desired activation and its "
            "gate here, a gradient there. Memory as in `python -m benchmarks memory`. The paper estimates 16 bits a "
            "weight against 32, 1 bit an error signal against 96, and 10 gates an operation in every pass against 10 "
            "forward, 10⁴ backward and 10⁴ in the update.",
        ),
        COLUMNS,
    )
    tiny = programs.tiny_mlp()
    for problem in [tiny] if options.quick else memory.problems():
        if options.only in problem.name:
            for row in _rows(clock, problem):
                report.add(row)
    return report


def _rows(clock: timing.Clock, problem: Problem) -> list[dict]:
    methods = {"BEP": (_binary(problem), 2), "QAT, float32 Adam": (_straight_through(problem), 32)}
    cases = {
        f"{method} {name}, {label}": programs.case(program, problem, options=options)
        for label, options in timing.compiler_options(quick=True).items()
        for method, (passes, _) in methods.items()
        for name, program in passes.items()
    }
    samples = clock.measure(cases)
    rows, sizes = [], {}
    for method, (passes, error_bits) in methods.items():
        forward, backward, step = (samples[timing.fastest(samples, f"{method} {name},")] for name in passes)
        state, temporary = sizes[method] = memory.counted(passes["step"], problem)
        weights = sum(n * k for n, k in problem.model.matrix_shapes)
        rows.append(
            {
                "name": problem.name,
                "method": method,
                "weight_bits": 8 * state / weights,
                "error_bits": error_bits,
                "forward": _microseconds(forward),
                "backward": _microseconds(backward - forward),
                "update": _microseconds(step - backward),
                "step": _microseconds(step),
                "counted": (state + temporary) / 1e6,
            }
        )
    ratio = timing.ratio(samples, *(timing.fastest(samples, f"{method} step,") for method in reversed(methods)))
    binary, float32 = (sum(sizes[method]) for method in methods)
    return [rows[0] | {"faster": ratio, "smaller": float32 / binary}, *rows[1:]]


def _binary(problem: Problem) -> dict[str, Program]:
    """Programs that stop after the forward pass, after the backward pass, and after the whole step."""
    model, whole = problem.model, programs.binary(problem)

    def forward(state, x, y):
        params, _, _ = state
        return bep.forward(model, params, x)

    def backward(state, x, y):
        params, _, limits = state
        scores, residuals = bep.forward(model, params, x)
        return bep.backward(model, limits, params, residuals, scores, y), residuals

    def touch(state, guard):
        hidden = tuple(rewrite(h, guard) for h in state[0].hidden)
        return (state[0]._replace(hidden=hidden), *state[1:])

    return {
        "forward": _partial(whole, forward, touch, problem),
        "backward": _partial(whole, backward, touch, problem),
        "step": whole,
    }


def _straight_through(problem: Problem) -> dict[str, Program]:
    model, whole = problem.model, programs.straight_through(problem)

    def loss(trained, variables, x, y):
        scores = qat.logits(model, variables._replace(trained=trained), x)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], axis=1))

    def forward(state, x, y):
        return qat.logits(model, state[0], x)

    def backward(state, x, y):
        return jax.value_and_grad(loss)(state[0].trained, state[0], x, y)

    def touch(state, guard):
        latent = tuple(rewrite(w, guard) for w in state[0].trained.latent)
        variables = state[0]._replace(trained=state[0].trained._replace(latent=latent))
        return (variables, *state[1:])

    return {
        "forward": _partial(whole, forward, touch, problem),
        "backward": _partial(whole, backward, touch, problem),
        "step": whole,
    }


def _partial(whole: Program, function, touch, problem: Problem) -> Program:
    """Part of a step, again and again; all that it returns is written, since the last step's is the result."""

    def init(key):
        state = whole.init(key)
        x, y = problem.data()
        shapes = jax.eval_shape(function, state, x[0], y[0])
        return state, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes), jnp.bool_(True)

    def step(carry, data):
        state, _, guard = carry
        state = touch(state, guard)  # or XLA would do once what depends on the weights alone
        return (state, function(state, *data), guard), None

    return Program(init, lambda carry, data: lax.scan(step, carry, data))


def _microseconds(samples) -> Spread:
    return Spread.of(samples).scaled(1e6)
