"""The dense layer.

Axis letters: K inputs, N neurons, B batch; Wk, Wn words of inputs, neurons.
Source: arXiv 2512.04189, Section 3.2.
"""

from dataclasses import dataclass

import jax

from bep_jax.network import dense
from bep_jax.network.layers.layer import Layer, Residuals, Signals, update_operands


@jax.tree_util.register_static
@dataclass(frozen=True)
class Dense(Layer):
    """A dense layer, used at one position."""

    num_inputs: int
    width: int

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
        winners = dense.winners(z, desired, active, selection, bound=self.num_inputs)
        return Signals(desired, dense.gate(z, gate), winners)

    def desired_input(self, hidden, signals):
        return dense.desired_input(hidden[0], signals.desired, signals.gates)

    def operands(self, residuals, signals):
        return update_operands(self, residuals.inputs, signals.winners, signals.desired)

    def c_forward(self, weights, source, target):
        return [f"@prefix@_dense({weights[0]}, {self.width}u, {self.num_inputs}u, {source}, {target});"]
