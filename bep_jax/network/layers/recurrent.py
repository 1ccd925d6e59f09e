"""The recurrent cell.

Axis letters: K inputs, N neurons, B batch, T time steps, H kept time steps; Wx, Ws words of inputs, state.
Source: arXiv 2512.04189, Section 3.5 (BEP-TT).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from bep_jax.kernels import bits, products
from bep_jax.network import dense, initial
from bep_jax.network.layers.layer import Layer, Residuals, Signals, update_operands

_INT16_MAX = 32767


@jax.tree_util.register_static
@dataclass(frozen=True)
class Recurrent(Layer):
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

    over_time = True
    usual_gate = 2.0  # sums over time are wider
    usual_groups = 45.0  # few learn at a time: the mask is shared by all steps

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        return ((self.width, self.num_inputs), (self.width, self.width))

    @property
    def gate_fan_in(self) -> int:
        return self.width

    @property
    def matrix_names(self) -> tuple[str, ...]:
        return "input to state", "state to state"

    def positions(self, num_steps: int | None = None) -> int:
        if num_steps is None:
            raise ValueError("positions: a recurrent layer has as many as a sample has time steps; give num_steps.")
        return num_steps

    def back_projects(self, below: bool) -> tuple[bool, ...]:
        return below, True

    def init(self, keys, scale):
        """From a key for each matrix its hidden weights, of σ = ``scale``."""
        if self.patterns is None:
            return super().init(keys, scale)
        h_xs = initial.normal(keys[0], self.matrix_shapes[0], scale)
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

    def signals(self, hidden, residuals, desired, active, gate, selection):
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
        winners = dense.tied_winners(dense.summed_stability(z, desired), active, selection, bound=bound)
        return Signals(desired, gates, winners)

    def operands(self, residuals, signals):
        """Operands of both updates, one product over time and batch each."""

        def flat(words):  # [H, W, B] -> [W, H * B]
            return jnp.moveaxis(words, 0, 1).reshape(words.shape[1], -1)

        winners = jnp.broadcast_to(signals.winners[None], signals.desired.shape)
        if self.gated_update:
            winners = winners & signals.gates
        return update_operands(self, tuple(flat(i) for i in residuals.inputs), flat(winners), flat(signals.desired))

    def _kept(self, num_steps: int) -> int:
        return num_steps if self.horizon is None else min(self.horizon, num_steps)

    def c_forward(self, weights, source, target):
        words_x, words_s = bits.num_words(self.num_inputs), bits.num_words(self.width)
        return [
            f"@prefix@_clear(next, {words_s}u);",
            f"for (n = 0; n < {self.width}u; n++) {{",
            f"    distance = @prefix@_distance(&{weights[0]}[{words_x}u * n], {source}, {words_x}u)",
            f"        + @prefix@_distance(&{weights[1]}[{words_s}u * n], {target}, {words_s}u);",
            f"    @prefix@_set(next, n, 2u * distance <= {self.num_inputs + self.width}u);",
            "}",
            f"for (n = 0; n < {words_s}u; n++)",
            f"    {target}[n] = next[n];",
        ]
