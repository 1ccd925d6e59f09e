"""Inference of one network: the exported C, ours in JAX, and float32 dots of the same ±1 weights."""

import ctypes
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import bep_jax as bep
from benchmarks import native, programs, timing
from benchmarks.programs import Problem
from benchmarks.report import Column, Report
from benchmarks.timing import Case, Spread

BATCHES = (1, 1000)

COLUMNS = (
    Column("name", "network"),
    Column("batch", "batch"),
    Column("c", "exported C, µs a sample", 2),
    Column("jax", "bep.logits, µs a sample", 2),
    Column("packed", "packed once, µs a sample", 2),
    Column("empty", "an empty call, µs", 2),
    Column("float32", "float32 dots, µs a sample", 2),
    Column("ratio_c", "C against float32", 2, "×"),
    Column("ratio_jax", "bep.logits against float32", 2, "×"),
    Column("ratio_packed", "packed once against float32", 2, "×"),
)

# A sample after the other; inputs are packed words. A recurrent network takes a time step a call.
_MAIN = """
#include "net.h"

void run(const net_input_t *inputs, int32_t *logits, long samples, long steps)
{
    long b, t;
    for (b = 0; b < samples; b++) {
#if @RECURRENT@
        net_reset();
        for (t = 0; t < steps; t++, inputs += NET_NUM_INPUTS)
            net_step(inputs);
        net_logits(logits + NET_NUM_CLASSES * b);
#else
        (void)t, (void)steps;
        net_logits(inputs, logits + NET_NUM_CLASSES * b);
        inputs += NET_NUM_INPUTS;
#endif
    }
}
"""


def run(options, clock: timing.Clock) -> Report:
    """Measures an MLP and an RNN, one sample at a time and many."""
    report = Report(
        "Inference",
        (
            "From an input to its logits, which are the same numbers in all three. The C is `bep.to_c`, compiled by "
            "gcc with -O3 -march=native, called through ctypes; it and `bep.logits` (under jit) take packed bits, the "
            "float32 network ±1 floats. JAX programs are compiled with and without 512-bit vectors, the float32 ones "
            "with either layout of the weights, and the fastest counts. A call from Python is part of the time. Packed "
            "once means `bep.logits` of `bep.visible`; an empty call takes the same arguments and adds one to them.",
        ),
        COLUMNS,
    )
    batches = (1, 3) if options.quick else BATCHES
    for batch in batches:
        if options.quick:
            problems = [programs.tiny_mlp(batch, steps=1), programs.tiny_rnn(batch, steps=1)]
        else:
            problems = [programs.mlp(batch, steps=1), programs.rnn(batch, steps=1)]
        for problem in problems:
            if options.only in problem.name:
                report.add(_row(clock, problem, timing.compiler_options(options.quick)))
    return report


def _row(clock: timing.Clock, problem: Problem, choices: dict) -> dict:
    model, batch = problem.model, problem.batch
    params = model.init(jax.random.key(0))
    words = problem.data()[0][0]
    floats = bep.bits.unpack(words, num_bits=model.num_inputs).astype(jnp.float32)
    wanted = np.asarray(bep.logits(model, params, words))
    visible = bep.visible(model, params)
    results, cases = {}, {}
    for label, compiler_options in choices.items():
        ours = jax.jit(lambda params, x: bep.logits(model, params, x), compiler_options=compiler_options)
        results[f"jax, {label}"] = ours(params, words)
        cases[f"jax, {label}"] = Case(lambda ours=ours: ours(params, words), batch)
        results[f"packed, {label}"] = ours(visible, words)
        cases[f"packed, {label}"] = Case(lambda ours=ours: ours(visible, words), batch)
        for layout, transposed in (("[N, K]", False), ("[K, N]", True)):
            network = _float32(problem, params, transposed, compiler_options)
            name = f"float32, {label}, weights {layout}"
            results[name] = network(floats)
            cases[name] = Case(lambda network=network: network(floats), batch)
    empty = jax.jit(lambda weights, x: x + jnp.uint32(1))  # the same arguments
    cases["empty"] = Case(lambda: empty(visible, words))
    if (compiled := _exported(problem, params)) is not None:
        results["c"], case = compiled(np.asarray(words))
        cases["c"] = case
    for name, found in results.items():
        np.testing.assert_array_equal(np.asarray(found), wanted, err_msg=name)
    samples = clock.measure(cases)
    best = {name: timing.fastest(samples, name) for name in ("c", "jax", "packed", "empty", "float32")}
    return {
        "name": problem.name.rsplit(",", 1)[0],
        "batch": batch,
        **{name: None if case is None else _microseconds(samples[case]) for name, case in best.items()},
        "ratio_c": timing.ratio(samples, best["float32"], best["c"]),
        "ratio_jax": timing.ratio(samples, best["float32"], best["jax"]),
        "ratio_packed": timing.ratio(samples, best["float32"], best["packed"]),
        "fastest": best,
        "microseconds": {name: _microseconds(values) for name, values in samples.items()},
    }


def _float32(problem: Problem, params: bep.Params, transposed: bool, compiler_options: dict | None):
    """The network in float32: ±1 weights, dots, signs; weights are arguments, as in ours."""
    model = problem.model
    signs = [np.where(np.asarray(h) >= 0, np.float32(1), np.float32(-1)) for h in params.hidden]
    signs.append(np.asarray(bep.bits.unpack(params.classifier, num_bits=model.widths[-1]), np.float32))
    weights = [jnp.asarray(w.T if transposed else w) for w in signs]

    def dot(x, w):
        return lax.dot_general(x, w, (((1,), (0 if transposed else 1,)), ((), ())))

    def sign(z):
        return jnp.where(z >= 0, jnp.float32(1), jnp.float32(-1))

    def network(weights, x):
        *hidden, classifier = weights
        if model.recurrent:
            to_input, to_state, *hidden = hidden

            def cell(state, x):
                return sign(dot(x, to_input) + dot(state, to_state)), None

            x, _ = lax.scan(cell, jnp.ones((x.shape[0], model.widths[0]), jnp.float32), jnp.swapaxes(x, 0, 1))
        for w in hidden:
            x = sign(dot(x, w))
        return dot(x, classifier)

    jitted = jax.jit(network, compiler_options=compiler_options)
    return lambda x: jitted(weights, x)


def _exported(problem: Problem, params: bep.Params):
    """A function from words to logits and a case, or None where nothing can be compiled."""
    model = problem.model
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "net.h").write_text(bep.to_c(model, params, prefix="net"))
        source = pathlib.Path(folder) / "net.c"
        source.write_text(_MAIN.replace("@RECURRENT@", str(int(model.recurrent))))
        library = native.load(source)
    if library is None:
        return None
    function = library.run
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long], None

    def compiled(x: np.ndarray) -> tuple[np.ndarray, Case]:
        x, out = np.ascontiguousarray(x), np.empty((problem.batch, model.num_classes), np.int32)
        places = x.ctypes.data, out.ctypes.data  # once: it takes longer than a sample

        def call():
            function(*places, problem.batch, problem.time_steps or 1)
            return x, out  # which must outlive their addresses

        return call()[1], Case(call, problem.batch)

    return compiled


def _microseconds(samples: np.ndarray) -> Spread:
    return Spread.of(samples).scaled(1e6)
