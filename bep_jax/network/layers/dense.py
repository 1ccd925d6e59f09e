"""The dense layer.

Axis letters: K inputs, N neurons, B batch; Wk, Wn words of inputs, neurons.
Source: arXiv 2512.04189, Section 3.2.
"""

from dataclasses import dataclass

import jax

from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_count
from bep_jax.network import dense
from bep_jax.network.layers.layer import (
    CLearning,
    Layer,
    Residuals,
    Signals,
    check_learns,
    update_operands,
)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Dense(Layer):
    """A dense layer, used at one position. ``learns`` by "winners", one wrong neuron a group, or by "band"."""

    num_inputs: int
    width: int
    learns: str = "winners"

    def __post_init__(self) -> None:
        check_learns("Dense", self)
        for name in ("num_inputs", "width"):
            object.__setattr__(self, name, check_count(getattr(self, name), name, "Dense"))

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        return ((self.width, self.num_inputs),)

    @property
    def gate_fan_in(self) -> int:
        return self.num_inputs

    def forward(self, hidden, inputs):
        z = dense.forward(hidden[0], inputs)
        return dense.activate(z), Residuals((inputs,), z)

    def signals(self, hidden, residuals, desired, active, gate, selection):
        z = residuals.preactivations
        if self.learns == "band":
            winners = dense.band(z, active, selection)
        else:
            winners = dense.winners(z, desired, active, selection, bound=self.num_inputs)
        return Signals(desired, dense.gate(z, gate), winners)

    def desired_input(self, hidden, signals):
        return dense.desired_input(hidden[0], signals.desired, signals.gates)

    def operands(self, residuals, signals):
        return update_operands(self, residuals.inputs, signals.winners, signals.desired)

    def c_forward(self, weights, source, target):
        return [f"@prefix@_dense({weights[0]}, {self.width}u, {self.num_inputs}u, {source}, {target});"]

    def c_learning(self, place):
        i, words_k, words_n = place.number, bits.num_words(self.num_inputs), bits.num_words(self.width)
        names = (("inputs", words_k), ("desired", words_n), ("winners", words_n))
        sizes = f"@prefix@_signs_{place.matrix}, {self.width}u, {self.num_inputs}u"
        if self.learns == "band":
            backward = [f"@prefix@_gate(z_{i}, {self.width}u, {place.band - 1}, winners_{i});"]
        else:
            backward = [
                f"for (i = 0; i < {words_n}u; i++)",
                f"    winners_{i}[i] = {place.target}[i] ^ desired_{i}[i];",
                f"@prefix@_compete(z_{i}, {self.width}u, @prefix@_group_size[{i}], winners_{i});",
            ]
        buffers = [("int32_t", f"z_{i}", self.width)]
        if place.below is not None:
            buffers.append(("uint32_t", f"gates_{i}", words_n))
            backward += [
                f"@prefix@_gate(z_{i}, {self.width}u, {place.gate}, gates_{i});",
                f"@prefix@_back({sizes}, desired_{i}, gates_{i}, {place.below});",
            ]
        return CLearning(
            memory=tuple(("uint32_t", f"{name}_{i}", place.batch * words) for name, words in names),
            buffers=tuple(buffers),
            places=[
                f"uint32_t *const {name}_{i} = &@prefix@_{name}_{i}[{words}u * @prefix@_kept];" for name, words in names
            ],
            forward=[f"@prefix@_sums({sizes}, inputs_{i}, z_{i}, {place.target});"],
            backward=backward,
            updates=(f"@prefix@_kept, 0, @prefix@_winners_{i}, @prefix@_desired_{i}, @prefix@_inputs_{i}",),
            rows=place.batch,
            counts=max(place.batch, self.width),
        )
