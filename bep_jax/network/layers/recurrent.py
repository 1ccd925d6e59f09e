"""The recurrent cell.

Axis letters: K inputs, N neurons, B batch, T time steps, H kept time steps; Wx, Ws words of inputs, state.
Source: arXiv 2512.04189, Section 3.5 (BEP-TT).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from bep_jax.kernels import bits, products
from bep_jax.kernels.checks import check_count, check_flag
from bep_jax.network import dense, initial
from bep_jax.network.layers.layer import (
    CLearning,
    Layer,
    Residuals,
    Signals,
    check_learns,
    update_operands,
)

_INT16_MAX = 32767


@jax.tree_util.register_static
@dataclass(frozen=True)
class Recurrent(Layer):
    """A recurrent cell: a dense layer on [input ; state], tied over time; its output is the last state.

    ``learns`` by "winners", which all time steps share, or by "band", at each time step on its own.

    Kept per time step of the horizon, sample and cell of width N with K inputs: K + N packed bits (inputs, state),
    N pre-activations of two bytes (four above K + N = 32767), and in the backward pass N desired bits and N gate
    bits. At T = 1000, N = K = 1035, B = 64 that is 165 MB.
    """

    num_inputs: int
    width: int
    horizon: int | None = None
    patterns: int | None = None
    gated_update: bool = False
    learns: str = "winners"

    over_time = True
    usual_gate = 2.0  # sums over time are wider
    usual_groups = 1.4  # few learn at a time: the mask is shared by all steps

    def __post_init__(self) -> None:
        check_learns("Recurrent", self)
        for name in ("num_inputs", "width", "horizon", "patterns"):
            if name in ("num_inputs", "width") or getattr(self, name) is not None:
                object.__setattr__(self, name, check_count(getattr(self, name), name, "Recurrent"))
        check_flag(self.gated_update, "gated_update", "Recurrent")

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
        preactivations = dense.forward_of_parts(hidden)

        def advance(state, x):
            return preactivations(jnp.concatenate([x, state]))

        def skip(state, x):
            return dense.activate(advance(state, x)), None

        def keep(state, x):
            z = advance(state, x)
            return dense.activate(z), (state, z)

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
        by_neurons, dtype = dense.visible_by_neurons(hidden[1]), products.holding(self.width)

        def back(desired, gates):
            earlier = dense.activate(products.backward(by_neurons, desired, gates, dtype=dtype))
            return earlier, earlier

        desired = desired[None]
        if z.shape[0] > 1:
            _, earlier = lax.scan(back, desired[0], gates[1:], reverse=True)
            desired = jnp.concatenate([earlier, desired])
        if self.learns == "band":
            winners = jax.vmap(dense.band, (0, None, None))(z, active, selection)
        else:
            bound = z.shape[0] * (self.num_inputs + self.width)
            winners = dense.tied_winners(dense.summed_stability(z, desired), active, selection, bound=bound)
        return Signals(desired, gates, winners)

    def operands(self, residuals, signals):
        """Operands of both updates, one product over time and batch each."""

        def flat(words):  # [H, W, B] -> [W, H * B]
            return jnp.moveaxis(words, 0, 1).reshape(words.shape[1], -1)

        shared = signals.winners.ndim == 2
        winners = jnp.broadcast_to(signals.winners[None], signals.desired.shape) if shared else signals.winners
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

    def c_learning(self, place):
        if self.learns != "winners":
            raise TypeError(
                f"to_c: there is no C for a recurrent layer that learns by {self.learns!r}; leave out rule."
            )
        i, steps = place.number, self._kept(place.window)
        words_x, words_s = bits.num_words(self.num_inputs), bits.num_words(self.width)
        rows, fan_in = place.batch * steps, self.num_inputs + self.width
        sum_type = "int16_t" if fan_in <= _INT16_MAX else "int32_t"
        memory = [
            ("uint32_t", f"inputs_{i}", rows * words_x),
            ("uint32_t", f"states_{i}", rows * words_s),
            ("uint32_t", f"desired_{i}", rows * words_s),
            ("uint32_t", f"winners_{i}", place.batch * words_s),
            (sum_type, f"sums_{i}", steps * self.width),
        ]
        # The steps of a sample lie in a ring, its rows of the batch, so that long series keep their last ones.
        forward = [
            "const uint32_t row = @prefix@_rows + @prefix@_place;",
            f"uint32_t *const x = &@prefix@_inputs_{i}[{words_x}u * row];",
            f"uint32_t *const state = &@prefix@_states_{i}[{words_s}u * row], n, distance;",
            f"{sum_type} *const z = &@prefix@_sums_{i}[{self.width}u * @prefix@_place];",
            "@prefix@_encode(input, x);",
            f"@prefix@_copy_words(@prefix@_state, state, {words_s}u);",
            f"@prefix@_clear(@prefix@_state, {words_s}u);",
            f"for (n = 0; n < {self.width}u; n++) {{",
            f"    distance = @prefix@_distance(&@prefix@_signs_{place.matrix}[{words_x}u * n], x, {words_x}u)",
            f"        + @prefix@_distance(&@prefix@_signs_{place.matrix + 1}[{words_s}u * n], state, {words_s}u);",
            f"    z[n] = ({sum_type})({fan_in} - 2 * (int32_t)distance);",
            "    @prefix@_set(@prefix@_state, n, z[n] >= 0);",
            "}",
            f"@prefix@_place = @prefix@_place + 1u == {steps}u ? 0 : @prefix@_place + 1u;",
            f"@prefix@_steps += @prefix@_steps < {steps}u;",
        ]
        before = f"(@prefix@_rows + (at != 0 ? at : {steps}u) - 1u)"
        row = "(@prefix@_rows + at)"
        backward = [
            "uint32_t at = @prefix@_place, left;",
            f"for (i = 0; i < {self.width}u; i++)",
            f"    u_{i}[i] = 0;",
            "for (left = @prefix@_steps; left != 0; left--) {",
            f"    at = (at != 0 ? at : {steps}u) - 1u;",
            f"    for (i = 0; i < {self.width}u; i++) {{",
            f"        z_{i}[i] = @prefix@_sums_{i}[{self.width}u * at + i];",
            f"        u_{i}[i] += @prefix@_bit(&@prefix@_desired_{i}[{words_s}u * {row}], i) ? z_{i}[i] : -z_{i}[i];",
            "    }",
            f"    @prefix@_gate(z_{i}, {self.width}u, {place.gate}, gates_{i});",
            "    if (left > 1u)",
            f"        @prefix@_back(@prefix@_signs_{place.matrix + 1}, {self.width}u, {self.width}u,",
            f"            &@prefix@_desired_{i}[{words_s}u * {row}], gates_{i},",
            f"            &@prefix@_desired_{i}[{words_s}u * {before}]);",
            "}",
            f"@prefix@_clear(winners_{i}, {words_s}u);",
            f"for (i = 0; i < {self.width}u; i++)",
            f"    @prefix@_set(winners_{i}, i, u_{i}[i] < 0);",
            f"@prefix@_compete(u_{i}, {self.width}u, @prefix@_group_size[{i}], winners_{i});",
        ]
        if self.gated_update:
            memory.append(("uint32_t", f"gates_{i}", rows * words_s))
            opened = f"@prefix@_copy_words(gates_{i}, &@prefix@_gates_{i}[{words_s}u * {row}], {words_s}u);"
            backward.insert(backward.index("    if (left > 1u)"), f"    {opened}")
            backward += [
                "for (left = 0; left < @prefix@_steps; left++)",
                f"    for (i = 0; i < {words_s}u; i++)",
                f"        @prefix@_gates_{i}[{words_s}u * (@prefix@_rows + left) + i] &= winners_{i}[i];",
            ]
            learns = f"@prefix@_rows, 0, @prefix@_gates_{i}"
        else:
            memory.append(("uint16_t", f"num_rows_{i}", place.batch))
            backward.append(f"@prefix@_num_rows_{i}[@prefix@_kept] = (uint16_t)@prefix@_steps;")
            learns = f"@prefix@_kept, @prefix@_num_rows_{i}, @prefix@_winners_{i}"
        backward.append("@prefix@_rows += @prefix@_steps;")
        last = f"(@prefix@_rows + (@prefix@_place != 0 ? @prefix@_place : {steps}u) - 1u)"
        return CLearning(
            memory=tuple(memory),
            buffers=tuple(
                (c_type, f"{name}_{i}", length)
                for c_type, name, length in (
                    ("int32_t", "z", self.width),
                    ("int32_t", "u", self.width),
                    ("uint32_t", "gates", words_s),
                )
            ),
            places=[
                f"uint32_t *const desired_{i} = &@prefix@_desired_{i}[{words_s}u * {last}];",
                f"uint32_t *const winners_{i} = &@prefix@_winners_{i}[{words_s}u * @prefix@_kept];",
            ],
            forward=forward,
            backward=["{", *(f"    {line}" for line in backward), "}"],
            updates=tuple(
                f"{learns}, @prefix@_desired_{i}, @prefix@_{operand}_{i}" for operand in ("inputs", "states")
            ),
            rows=rows,
            counts=max(rows, self.width),
        )
