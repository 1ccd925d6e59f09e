"""The networks that the exactness tests run over, of every kind, and the reference's step for any of them.

Axis letters: B batch, T time steps, K inputs, N neurons, M matrices.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import reference

import bep_jax as bep
from bep_jax.encode import pack_host

# `jax.jit(..., compiler_options=OPTIMISED)` compiles as jax does by itself, which conftest's flags keep it from.
OPTIMISED = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
# The same program before LLVM makes machine code of it, for tests that only read it.
FUSED = {"xla_cpu_use_fusion_emitters": True}


class Case(NamedTuple):
    """A network, a rule and the sizes of a batch."""

    name: str
    model: bep.Model
    rule: bep.Rule
    other_group_sizes: tuple[tuple[int, ...], ...]  # to switch to while training, one entry a layer
    batch: int
    time: int | None = None
    scale: float = 8.0  # of the hidden weights: small, so that signs change within a few steps

    @property
    def group_sizes(self):
        sizes = self.rule.group_size
        return sizes if isinstance(sizes, tuple) else (sizes,) * len(self.model.layers)

    @property
    def fan_ins(self):
        """Fan-in of each matrix, for reinforcement."""
        return [fan_in for _, fan_in in self.model.matrix_shapes]

    @property
    def convolutions(self):
        """Of each layer what `reference.conv_step` wants of it; None for an MLP or RNN."""
        if not any(isinstance(layer, bep.Convolution) for layer in self.model.layers):
            return None
        return [convolution(layer) if isinstance(layer, bep.Convolution) else None for layer in self.model.layers]

    @property
    def gate_fan_ins(self):
        """What the gate is a fraction of, by matrix as the reference wants it: the state's width in an RNN."""
        if self.time is None:
            return self.fan_ins
        return [self.model.num_inputs, self.model.widths[0], self.model.widths[0]]


def _mlp(name, sizes, num_classes, batch, group_size, others, *, scale=8.0, **rule):
    model = bep.mlp(num_inputs=sizes[0], widths=sizes[1:], num_classes=num_classes)
    rule = bep.Rule(group_size=group_size, **{"margin": 0.5, "gate": 0.2, **rule})
    return Case(f"mlp-{name}", model, rule, others, batch, None, scale)


def _rnn(name, sizes, num_classes, time, batch, group_size, others, *, scale=8.0, horizon=None, gated=False, **rule):
    inputs, state, output = sizes
    widths = {"num_inputs": inputs, "state_width": state, "output_width": output}
    model = bep.rnn(**widths, num_classes=num_classes, horizon=horizon, gated_update=gated)
    rule = bep.Rule(group_size=group_size, **{"margin": 0.5, "gate": 0.3, **rule})
    return Case(f"rnn-{name}", model, rule, others, batch, time, scale)


def _conv(
    name, shape, channels, filters, widths, batch, group_size, others, *, learns="band", extra=0, scale=8.0, **rule
):
    sizes = {"image_shape": shape, "channels": channels, "filters": filters, "widths": widths}
    model = bep.conv(**sizes, num_classes=3, learns=learns, extra=extra)
    rule = bep.Rule(group_size=group_size, **{"margin": 0.7, "gate": 0.2, **rule})
    return Case(f"conv-{name}", model, rule, others, batch, None, scale)


def convolution(layer):
    return layer.image_shape, layer.channels, layer.patch, layer.stride, layer.padding, layer.learns


CASES = (
    _mlp("one-bit", (1, 1), 2, 1, 1, ((1,),), margin=1.0),
    _mlp("one-layer", (6, 4), 3, 3, 2, ((1,), (4,))),
    _mlp("odd", (31, 33, 63), 10, 5, (3, 7), ((1, 1), (33, 63), (11, 9)), margin=0.7),
    _mlp("even", (64, 32, 96), 7, 33, 8, ((1, 96), (32, 3)), bits=8, scale=64.0, reinforcement=1.0),
    _mlp("deep", (100, 35, 35, 35, 35), 10, 37, 7, ((35, 5, 1, 7), (1, 1, 1, 1)), bits=11),
    _mlp("paper", (784, 525, 525), 10, 100, 15, ((105, 525),), gate=0.05),
    _mlp("batch-in-parts", (40, 33, 15), 5, 601, (11, 15), ((3, 5),)),
    _mlp("long-products", (1035, 35, 1), 2, 330, (35, 1), ((5, 1),), gate=1.0),
    _rnn("one-step", (5, 7, 3), 3, 1, 2, (7, 3), ((1, 1), (1, 3)), margin=1.0),
    _rnn("one-bit", (1, 1, 1), 2, 6, 5, 1, ((1, 1),), margin=1.0),
    _rnn("odd", (33, 31, 15), 3, 4, 5, (31, 3), ((1, 15), (31, 5))),
    _rnn("horizon", (20, 35, 21), 3, 8, 9, 7, ((1, 1), (35, 3)), horizon=3, bits=8, scale=64.0),
    _rnn("gated", (33, 31, 15), 3, 9, 40, (31, 3), ((1, 15), (31, 5)), horizon=7, gated=True, gate=0.1),
    _rnn("last-step", (20, 32, 64), 5, 8, 1, 8, ((1, 64),), horizon=1),
    _rnn("horizon-past-start", (30, 30, 30), 4, 5, 4, 5, ((2, 3),), horizon=9, reinforcement=1.0),
    _rnn("long", (28, 63, 35), 10, 28, 17, 7, ((63, 5), (9, 35)), horizon=20, gate=0.1),
    _rnn("batch-in-parts", (33, 31, 15), 3, 4, 400, (31, 3), ((1, 15),), horizon=3),
    _rnn("long-products", (200, 33, 15), 3, 28, 64, 3, ((33, 1),)),
    _conv("series", (13,), 3, ((31, 5, 2, 1),), (15,), 401, (31, 5), ((31, 15), (31, 1)), band=0.7),
    _conv(
        "two", (7, 9), 5, ((33, (3, 2), (2, 1), (1, 0)), (64, 2, 1)), (9,), 8, (33, 64, 3), ((33, 64, 9), (33, 64, 1))
    ),
    _conv("winners", (5, 6), 32, ((32, 2, 1, 1), (9, 3, 2)), (), 4, (4, 3), ((32, 9),), learns="winners"),
    _conv("tied", (6, 6), 2, ((15, 3, 1),), (9,), 9, (5, 3), ((15, 9),), learns="tied winners"),
    _conv("past", (13,), 3, ((31, 5, 2), (7, 2, 1)), (15,), 33, (31, 7, 5), ((31, 7, 15),), extra=45),
    _conv("past-words", (4, 4), 32, ((32, 2, 1),), (), 5, (32,), ((1,),), learns="winners", extra=7),
)
ODD = tuple(c for c in CASES if c.name in ("mlp-odd", "rnn-odd"))
FEW = tuple(c for c in CASES if c.name in ("mlp-odd", "rnn-horizon", "conv-two"))


def every(cases=CASES):
    """Keyword arguments of pytest.mark.parametrize."""
    return {"argnames": "case", "argvalues": cases, "ids": [c.name for c in cases]}


class Batch(NamedTuple):
    """One mini-batch, as the reference and as the package want it."""

    signs: np.ndarray  # ±1 int64 [B, K] or [B, T, K]
    x: jax.Array  # the same, packed
    y: jax.Array  # int32 [B]
    where: jax.Array  # bool [B]


def draw_batches(case, number, seed=0):
    """Random batches; the labels of a few samples follow their inputs, so that margins differ."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(number):
        shape = (case.batch, *(() if case.time is None else (case.time,)), case.model.num_inputs)
        signs = rng.choice(np.array([-1, 1]), size=shape)
        y = rng.integers(0, case.model.num_classes, case.batch)
        where = rng.random(case.batch) < 0.9
        batches.append(Batch(signs, *jax.device_put((pack_host(signs > 0), y.astype(np.int32), where))))
    return batches


@functools.cache
def draw_params(case, seed=0):
    """Hidden weights as Model.init distributes them, and random class vectors, without compiling anything."""
    rng = np.random.default_rng(seed)
    hidden = [reference.initial_hidden(rng.normal(0, case.scale, shape)) for shape in case.model.matrix_shapes]
    classifier = rng.choice(np.array([-1, 1]), size=(case.model.num_classes, case.model.num_outputs))
    hidden = tuple(h.astype(np.int16) for h in hidden)
    return jax.device_put(bep.Params(hidden, pack_host(classifier > 0)))  # jnp.asarray would compile for each shape


def dense_hidden(params):
    return [np.asarray(h, np.int64) for h in params.hidden]


def dense_classifier(case, params):
    return np.asarray(bep.bits.unpack(params.classifier, num_bits=case.model.num_outputs), np.int64)


def reference_limits(case, error=1.0):
    rule = case.rule
    return reference.thresholds(
        rule.margin, rule.gate, rule.reinforcement, case.gate_fan_ins, case.model.num_outputs, error
    )


def reference_bands(case):
    """κ of each layer."""
    return [reference.band_threshold(case.rule.band, fan_in) for fan_in in case.gate_fan_ins]


def reference_updates(case, hidden, classifier, batch, group_sizes=None, *, masked=True, limits=None):
    """Steps 1 to 5 of the reference for a case; see reference.mlp_step, rnn_step and conv_step."""
    limits = reference_limits(case) if limits is None else limits
    arguments = [hidden, classifier, batch.signs, np.asarray(batch.y), limits["margin"], limits["gate"]]
    arguments.append(case.group_sizes if group_sizes is None else group_sizes)
    where = np.asarray(batch.where) if masked else None
    if case.convolutions is not None:
        selections = [
            limits.get("band", reference_bands(case))[i] if layer.learns == "band" else size
            for i, (layer, size) in enumerate(zip(case.model.layers, arguments[6], strict=True))
        ]
        return reference.conv_step(*arguments[:6], selections, case.convolutions, where=where)
    if case.time is None:
        return reference.mlp_step(*arguments, where=where)
    cell = case.model.layers[0]
    return reference.rnn_step(*arguments, horizon=cell.horizon, where=where, gated_update=cell.gated_update)


def reference_draws(key, shapes):
    """The 32 random bits of every weight in one step, and the key of the next.

    The upper half is a product of two 16-bit sums of a number of the row's and one of the column's, the second one
    odd; the lower half is the same for all weights of a matrix.
    """
    key, now = jax.random.split(key)
    words = np.asarray(jax.random.bits(now, (sum(n + k + 1 for n, k in shapes),), jnp.uint32)).astype(np.int64)
    draws = []
    for rows, columns in shapes:
        row, column, rest = np.split(words[: rows + columns + 1], [rows, rows + columns])
        words = words[rows + columns + 1 :]
        total = row[:, None] % 2**16 + column[None, :] % 2**16
        odd = (row[:, None] >> 17 << 1) + (column[None, :] >> 16 | 1)
        draws.append((total * odd % 2**16 << 16) + (2**16 - 1 - rest % 2**16))
    return key, draws


def reference_learn(case, hidden, updates, key, error=1.0):
    """Steps 5 (the sum), 6 and 7 of the reference: new hidden weights and the key of the next step."""
    key, draws = reference_draws(key, case.model.matrix_shapes)
    new = []
    for h, update, draw, fan_in in zip(hidden, updates, draws, case.fan_ins, strict=True):
        threshold = reference.reinforcement_threshold(case.rule.reinforcement, fan_in, error)
        new.append(reference.saturate(reference.reinforce(h + update, draw, threshold), case.rule.bits))
    return new, key


def assert_stats(stats, counts):
    assert (stats.active.dtype, stats.correct.dtype, stats.winners.dtype) == (jnp.int32,) * 3
    assert int(stats.active) == counts["active"]
    assert int(stats.correct) == counts["correct"]
    assert np.asarray(stats.winners).tolist() == counts["winners"]


def assert_trees_equal(left, right):
    """Same structure, dtypes and bits; keys are compared by their data."""
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype, (a.dtype, b.dtype)
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
