"""Networks as compositions of tied dense layers: `mlp`, `rnn`.

A `Model` is static: it says which layers there are and how wide. A `Params` holds the numbers: hidden integer weights
and the fixed classifier. Each layer knows four things, all in the kernels' layout (packed words, batch last): its
forward pass, the signals that reach it (desired activations, gates, winners), the desired activations of the layer
below, and the operands of its weight updates. The binary chain rule (`bep_jax.chain`) is written on these. One that
has an `init` draws the weights that it starts with; for others they are normal.

Axis letters: K inputs, N neurons, C classes, B batch, T time steps, H kept time steps (the backward horizon),
L layers, Wk, Wn words of inputs, neurons.
Source: arXiv 2512.04189, Sections 3.2 (layers) and 3.5 (recurrent).
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax import bits, dense, initial, products
from bep_jax.checks import check_count
from bep_jax.frames import equiangular_frame

_INT16_MAX = 32767


class Params(NamedTuple):
    """The numbers of a network."""

    hidden: tuple[jax.Array, ...]  # per matrix int16 [N, K]; odd integers whose signs are the visible weights
    classifier: jax.Array  # uint32 [C, W], the fixed ±1 class vectors packed along the last layer's neurons


class Residuals(NamedTuple):
    """What a layer's forward pass keeps for the backward pass, in the kernels' layout (batch last)."""

    inputs: tuple[jax.Array, ...]  # per matrix uint32 [Wk, B]; recurrent [H, Wk, B]: inputs a_t and states s_{t-1}
    preactivations: jax.Array  # int32 [N, B]; recurrent [H, N, B], int16 where they fit


class Signals(NamedTuple):
    """What the backward pass brings to a layer."""

    desired: jax.Array  # uint32 [Wn, B], desired activations; recurrent [H, Wn, B]
    gates: jax.Array  # uint32 [Wn, B], neurons whose desired activation passes down; recurrent [H, Wn, B]
    winners: jax.Array  # uint32 [Wn, B], neurons whose weights learn; recurrent: shared by all time steps


class Operands(NamedTuple):
    """The three operands of one matrix's update, packed along the batch; see `products.outer`."""

    winners: jax.Array  # uint32 [N, Wb]
    desired: jax.Array  # uint32 [N, Wb]
    inputs: jax.Array  # uint32 [Wb, K]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Dense:
    """A dense layer, used at one position."""

    num_inputs: int
    width: int

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        """``(N, K)`` of each hidden matrix."""
        return ((self.width, self.num_inputs),)

    @property
    def gate_fan_in(self) -> int:
        """The width that the gate ν is a fraction of."""
        return self.num_inputs

    def forward(self, hidden, inputs):
        """``hidden`` a tuple of int16 ``[N, K]``, ``inputs`` ``[Wk, B]``; returns outputs ``[Wn, B]``, Residuals."""
        z = dense.forward(hidden[0], inputs)
        return dense.activate(z), Residuals((inputs,), z)

    def signals(self, hidden, residuals, desired, active, gate, group_size):
        """From this layer's desired outputs ``[Wn, B]``: Signals."""
        z = residuals.preactivations
        winners = dense.winners(z, desired, active, group_size, bound=self.num_inputs)
        return Signals(desired, dense.gate(z, gate), winners)

    def desired_input(self, hidden, signals):
        """Desired outputs of the layer below, ``[Wk, B]``."""
        return dense.desired_input(hidden[0], signals.desired, signals.gates)

    def operands(self, residuals, signals):
        """Operands of the update of each matrix."""
        return _operands(self, residuals.inputs, signals.winners, signals.desired)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Recurrent:
    """A recurrent cell: a dense layer on [input ; state], tied over time; its output is the last state.

    Kept per time step of the horizon, sample and cell of width N with K inputs: K + N packed bits (inputs, state),
    N pre-activations of two bytes (four above K + N = 32767), and in the backward pass N desired bits and N gate
    bits. At T = 1000, N = K = 1035, B = 64 that is 165 MB.
    """

    num_inputs: int
    width: int
    horizon: int | None = None
    patterns: int | None = None
    gated_update: bool = False

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        return ((self.width, self.num_inputs), (self.width, self.width))

    @property
    def gate_fan_in(self) -> int:
        return self.width

    def init(self, keys, scale):
        """From a key for each matrix its hidden weights, of σ = ``scale``."""
        if self.patterns is None:
            return _normal(self.matrix_shapes, keys, scale)
        (h_xs,) = _normal(self.matrix_shapes[:1], keys[:1], scale)
        return h_xs, initial.hebbian(keys[1], self.width, self.patterns, scale)

    def forward(self, hidden, inputs):
        """``hidden`` (H_xs, H_ss), ``inputs`` ``[T, Wx, B]``; returns the last state ``[Ws, B]``, Residuals."""
        weights = jnp.concatenate([dense.visible(h) for h in hidden], axis=1)
        fan_in = self.num_inputs + self.width
        kept_dtype = jnp.int16 if fan_in <= _INT16_MAX else jnp.int32

        def advance(state, x):
            return products.forward(weights, jnp.concatenate([x, state]), fan_in)

        def skip(state, x):
            return dense.activate(advance(state, x)), None

        def keep(state, x):
            z = advance(state, x)
            return dense.activate(z), (state, z.astype(kept_dtype))

        ones = bits.pack_minor(jnp.ones(self.width, bool))
        state = jnp.broadcast_to(ones[:, None], (ones.shape[0], inputs.shape[2]))
        first_kept = inputs.shape[0] - self._kept(inputs.shape[0])
        if first_kept:
            state, _ = lax.scan(skip, state, inputs[:first_kept])
        state, (states, z) = lax.scan(keep, state, inputs[first_kept:])
        return state, Residuals((inputs[first_kept:], states), z)

    def signals(self, hidden, residuals, desired, active, gate, group_size):
        """From the last state's desired activations ``[Ws, B]``, back through the horizon: Signals."""
        z = residuals.preactivations
        gates = dense.gate(z, gate)
        by_neurons = dense.visible_by_neurons(hidden[1])

        def back(desired, gates):
            earlier = dense.activate(products.backward(by_neurons, desired, gates))
            return earlier, earlier

        desired = desired[None]
        if z.shape[0] > 1:
            _, earlier = lax.scan(back, desired[0], gates[1:], reverse=True)
            desired = jnp.concatenate([earlier, desired])
        bound = z.shape[0] * (self.num_inputs + self.width)
        winners = dense.tied_winners(dense.summed_stability(z, desired), active, group_size, bound=bound)
        return Signals(desired, gates, winners)

    def operands(self, residuals, signals):
        """Operands of both updates, one product over time and batch each."""

        def flat(words):  # [H, W, B] -> [W, H * B]
            return jnp.moveaxis(words, 0, 1).reshape(words.shape[1], -1)

        winners = jnp.broadcast_to(signals.winners[None], signals.desired.shape)
        if self.gated_update:
            winners = winners & signals.gates
        return _operands(self, tuple(flat(i) for i in residuals.inputs), flat(winners), flat(signals.desired))

    def _kept(self, num_steps: int) -> int:
        return num_steps if self.horizon is None else min(self.horizon, num_steps)


def _operands(layer, inputs, winners, desired) -> tuple[Operands, ...]:
    winners = dense.transposed(winners)[:, : layer.width].T
    desired = dense.transposed(desired)[:, : layer.width].T
    return tuple(
        Operands(winners, desired, dense.transposed(i)[:, :fan_in])
        for i, (_, fan_in) in zip(inputs, layer.matrix_shapes, strict=True)
    )


@jax.tree_util.register_static
@dataclass(frozen=True)
class Model:
    """A network's architecture: layers from the input up, then a fixed classifier. Made by `mlp` or `rnn`."""

    layers: tuple[Dense | Recurrent, ...]
    num_classes: int

    @property
    def num_inputs(self) -> int:
        """Input bits, of one time step if the network is recurrent."""
        return self.layers[0].num_inputs

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each layer."""
        return tuple(layer.width for layer in self.layers)

    @property
    def recurrent(self) -> bool:
        """Whether inputs have a time axis."""
        return isinstance(self.layers[0], Recurrent)

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        """``(N, K)`` of each hidden matrix, in the order of `Params.hidden`."""
        return tuple(shape for layer in self.layers for shape in layer.matrix_shapes)

    def split(self, hidden: Sequence) -> list[tuple]:
        """Groups one value a matrix into one tuple a layer."""
        values = iter(hidden)
        return [tuple(next(values) for _ in layer.matrix_shapes) for layer in self.layers]

    def init(self, key: jax.Array, scale: float = 64.0) -> Params:
        """Draws hidden weights and a classifier.

        h = 2 floor(n / 2) + 1 with n ~ N(0, scale²), so h is odd and never 0. The draw compares random bits with an
        integer table of the normal distribution: the same on every platform.

        Args:
          key: a key from ``jax.random.key``.
          scale: σ > 0, the standard deviation; values are cut to the int16 range. A recurrent matrix with ``patterns``
            (see `rnn`) is 2 floor(σ c / 2 √P) + 1 instead, c the overlap of two neurons in P random patterns.

        Returns:
          `Params` with int16 hidden weights and the packed `equiangular_frame`.

        Raises:
          ValueError: ``scale`` is not positive.

        Example:
          >>> params = mlp(num_inputs=6, widths=(4,), num_classes=2).init(jax.random.key(0))
          >>> params.hidden[0].shape, params.hidden[0].dtype
          ((4, 6), dtype('int16'))
        """
        check_key("Model.init", key)
        if not isinstance(scale, int | float | np.integer | np.floating):
            raise TypeError(f"Model.init: scale must be a number, got {scale!r}.")
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"Model.init: scale must be positive and finite, got {scale}.")
        classifier_key, *keys = jax.random.split(key, 1 + len(self.matrix_shapes))
        hidden: list[jax.Array] = []
        for layer, own in zip(self.layers, self.split(keys), strict=True):
            draw = getattr(layer, "init", functools.partial(_normal, layer.matrix_shapes))
            hidden.extend(draw(own, float(scale)))
        return Params(tuple(hidden), equiangular_frame(classifier_key, self.num_classes, self.widths[-1]))


def _normal(shapes, keys, scale) -> tuple[jax.Array, ...]:
    return tuple(initial.normal(key, shape, scale) for key, shape in zip(keys, shapes, strict=True))


def check_key(who: str, key: jax.Array) -> None:
    """Raises a TypeError, naming ``who``, if this is no key."""
    raw = getattr(key, "dtype", None) == jnp.uint32 and key.shape == (2,)
    if not raw and not jnp.issubdtype(getattr(key, "dtype", None) or bool, jax.dtypes.prng_key):
        raise TypeError(f"{who}: wanted a key from jax.random.key, got {type(key).__name__}.")


def mlp(*, num_inputs: int, widths: Sequence[int], num_classes: int) -> Model:
    """A multilayer perceptron with binary weights and activations.

    Args:
      num_inputs: K_0, input bits.
      widths: K_1 to K_L, neurons of each trained layer.
      num_classes: C >= 2.

    Returns:
      A static, hashable `Model`.

    Raises:
      TypeError: a size is not an integer.
      ValueError: a size is below 1, ``widths`` is empty or there are fewer than two classes.

    Example:
      >>> mlp(num_inputs=784, widths=(525, 525), num_classes=10).matrix_shapes
      ((525, 784), (525, 525))
    """
    if not np.ndim(widths) == 1 or len(widths) == 0:
        raise ValueError(f"mlp: widths must be a tuple with at least one layer, got {widths!r}.")
    sizes = tuple(check_count(s, "every size", "mlp") for s in (num_inputs, *widths))
    layers = tuple(Dense(k, n) for k, n in itertools.pairwise(sizes))
    return Model(layers, check_count(num_classes, "num_classes", "mlp", least=2))


def rnn(
    *,
    num_inputs: int,
    state_width: int,
    output_width: int,
    num_classes: int,
    horizon: int | None = None,
    patterns: int | None = None,
    gated_update: bool = False,
) -> Model:
    """A recurrent network with binary weights, states and activations: a cell over time, then a dense layer.

    s_t = sign(W_xs a_t + W_ss s_{t-1}), s_0 = +1, s_y = sign(W_sy s_T). Its hidden matrices are
    ``(H_xs [Ks, Kx], H_ss [Ks, Ks], H_sy [Ky, Ks])``. The same model takes sequences of any length.

    Args:
      num_inputs: Kx, input bits of one time step.
      state_width: Ks.
      output_width: Ky.
      num_classes: C >= 2.
      horizon: how many of the last time steps the backward pass visits; None for all (Fig. 8).
      patterns: P, start H_ss as the Hebbian matrix of P random patterns, so that it is symmetric and states last from
        the first step on; None for independent weights, as in the paper. For long sequences; a fifth of the state's
        width is a good number, an odd one has no ties.
      gated_update: a neuron learns from a time step only if its gate was open there; False as in the paper, where the
        gate concerns the way back alone. For long sequences. Winners are chosen and counted as without it.

    Returns:
      A static, hashable `Model`.

    Raises:
      TypeError: a size is not an integer, ``gated_update`` is not a bool.
      ValueError: a size, the horizon or ``patterns`` is below 1, or there are fewer than two classes.

    Example:
      >>> rnn(num_inputs=28, state_width=35, output_width=15, num_classes=10).matrix_shapes
      ((35, 28), (35, 35), (15, 35))
    """
    kx, ks, ky = (
        check_count(size, name, "rnn")
        for name, size in (("num_inputs", num_inputs), ("state_width", state_width), ("output_width", output_width))
    )
    horizon = None if horizon is None else check_count(horizon, "horizon", "rnn")
    patterns = None if patterns is None else check_count(patterns, "patterns", "rnn")
    if not isinstance(gated_update, bool):
        raise TypeError(f"rnn: gated_update must be a bool, got {gated_update!r}.")
    cell = Recurrent(kx, ks, horizon, patterns, gated_update)
    return Model((cell, Dense(ks, ky)), check_count(num_classes, "num_classes", "rnn", least=2))
