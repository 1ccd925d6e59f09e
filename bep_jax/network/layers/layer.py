"""What is asked of a layer, and what one that is only a dense layer at one position answers.

The binary chain rule asks for the forward pass, the signals that reach a layer (desired activations, gates, who
learns), the desired activations of the layer below, and the operands of the weight updates, all in the kernels' layout
(packed words, batch last). What a network costs, its file and its C text are asked of the layers, too.

Axis letters: K inputs, N neurons, B batch, T time steps, H kept time steps (the backward horizon), M tied positions;
Wk, Wn, Wb words of inputs, neurons, batch.
Source: arXiv 2512.04189, Section 3.
"""

from typing import Any, ClassVar, NamedTuple

import jax

from bep_jax.kernels.checks import check_array, check_choice, check_several, check_type
from bep_jax.network import dense, initial


class Residuals(NamedTuple):
    """What a layer's forward pass keeps for the backward pass, in the kernels' layout (batch last)."""

    inputs: tuple[jax.Array, ...]  # per matrix uint32 [Wk, B]; recurrent [H, Wk, B]: inputs a_t and states s_{t-1}
    preactivations: jax.Array  # int16 where it holds them, or int32 [N, B]; recurrent [H, N, B]; convolution [N, M, B]


class Signals(NamedTuple):
    """What the backward pass brings to a layer."""

    desired: jax.Array  # uint32 [Wn, B], desired activations; recurrent [H, Wn, B], convolution [M, Wn, B]
    gates: jax.Array  # uint32 [Wn, B], neurons whose desired activation passes down; likewise
    winners: jax.Array  # uint32 [Wn, B], neurons whose weights learn; convolution, and by band: likewise


class Operands(NamedTuple):
    """The three operands of one matrix's update, packed along the batch; see `products.outer`."""

    winners: jax.Array  # uint32 [N, Wb]
    desired: jax.Array  # uint32 [N, Wb]
    inputs: jax.Array  # uint32 [Wb, K]


class CPlace(NamedTuple):
    """Where a layer stands in the C that learns; what belongs to layer i is called ``inputs_i`` and so on."""

    number: int  # i
    matrix: int  # the number of its first matrix
    batch: int  # B
    window: int  # T at most, where the layer is over time
    gate: int  # |z| at most
    band: int  # |z| below, where the layer learns by band
    target: str  # where its outputs go, an array of words
    below: str | None  # where the desired activations of the layer below go; None for the first


class CLearning(NamedTuple):
    """A layer's part of the C that learns: memory, and lines. ``@prefix@`` stands for the network's name."""

    memory: tuple[tuple[str, str, int], ...]  # C type, name, length: its part of the batch
    buffers: tuple[tuple[str, str, int], ...]  # the same, on the stack
    places: list[str]  # pointers to the place in ``memory`` of the sample that comes
    forward: list[str]  # from ``inputs_i`` to the target
    backward: list[str]  # from ``desired_i`` to ``winners_i`` and below
    updates: tuple[str, ...]  # for each matrix (samples, rows of each, winners, desired, inputs)
    rows: int  # of a neuron in an update, at most
    counts: int  # the most that anything is counted up to, rows among them
    support: str = ""  # C functions that these lines call, beside those that every header has


class Layer:
    """The base of all layers, which are frozen dataclasses registered static; own layers derive from it.

    A layer has ``num_inputs`` (bits in), ``width`` (neurons, which a group size divides), `matrix_shapes`,
    `gate_fan_in`, ``forward``, ``signals``, ``desired_input`` (unless it is always the first) and ``operands``; the
    members below have answers of their own that most layers keep.
    """

    num_inputs: int
    width: int

    over_time: ClassVar[bool] = False  # whether inputs have a time axis; such a layer comes first
    horizon: Any = None  # how many of the last time steps the backward pass visits; None for all
    usual_gate: ClassVar[float] = 1.0  # ν √K where a rule names none: about two thirds of the neurons are open
    usual_groups: ClassVar[float] = 0.3  # N / γ over √N where a rule names none: 3 of 105 neurons, 7 of 525
    learns: Any = "winners"  # who learns: one of ``ways``; "band" gets κ for ``signals``, others the group size
    ways: ClassVar[tuple[str, ...]] = ("winners", "band")  # "winners", one wrong neuron a group; "band", all |z| < κ

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        """``(N, K)`` of each hidden matrix."""
        raise NotImplementedError

    @property
    def gate_fan_in(self) -> int:
        """The fan-in that the gate ν and the learning band are fractions of."""
        raise NotImplementedError

    @property
    def num_outputs(self) -> int:
        """Bits that go up."""
        return self.width

    def positions(self, num_steps: int | None = None) -> int:
        """M, how often the weights are used in a sample of ``num_steps`` time steps."""
        return 1

    @property
    def matrix_names(self) -> tuple[str, ...]:
        """What each matrix is called in tables; empty for the layer's own place."""
        return ("",) * len(self.matrix_shapes)

    def back_projects(self, below: bool) -> tuple[bool, ...]:
        """For each matrix whether the backward pass goes through it, ``below`` if there is a layer below."""
        return (below,) * len(self.matrix_shapes)

    def init(self, keys, scale: float) -> tuple[jax.Array, ...]:
        """From a key for each matrix its hidden weights, of σ = ``scale``."""
        return tuple(initial.normal(key, shape, scale) for key, shape in zip(keys, self.matrix_shapes, strict=True))

    def forward(self, hidden, inputs):
        """``hidden`` a tuple of int16 ``[N, K]``, ``inputs`` ``[Wk, B]``; returns outputs ``[Wn, B]``, Residuals."""
        raise NotImplementedError

    def signals(self, hidden, residuals, desired, active, gate, selection):
        """From this layer's desired outputs ``[Wn, B]``: Signals. ``selection`` is the group size, or κ of a band."""
        raise NotImplementedError

    def desired_input(self, hidden, signals):
        """Desired outputs of the layer below, ``[Wk, B]``."""
        raise NotImplementedError

    def operands(self, residuals, signals):
        """Operands of the update of each matrix."""
        raise NotImplementedError

    c_support: ClassVar[str] = ""  # C functions that `c_forward` calls, beside those that every header has

    @property
    def c_words(self) -> int:
        """Words of the buffers that `c_forward` declares."""
        return 0

    def c_forward(self, weights: tuple[str, ...], source: str, target: str) -> list[str]:
        """Lines of C from the packed inputs ``source`` to the packed outputs ``target``; ``weights`` are arrays."""
        raise TypeError(f"to_c: a layer of type {type(self).__name__} has no C; give it a c_forward.")

    @property
    def c_identity(self) -> tuple:
        """What tells it from layers whose saved states are of the same form."""
        return type(self).__name__, self.matrix_shapes

    def c_learning(self, place: CPlace) -> CLearning:
        """The C of its learning pass."""
        raise TypeError(f"to_c: a layer of type {type(self).__name__} has no C that learns; give it a c_learning.")


def check_residuals(who: str, residuals: Any, num_layers: int) -> None:
    """Raises a TypeError or ValueError, naming ``who``, if these are not what a forward pass kept."""
    check_type(residuals, tuple, "residuals", who)
    for one in residuals:
        check_type(one, Residuals, "every entry of residuals", who)
        for array in (*check_several(one.inputs, "inputs of residuals", who), one.preactivations):
            check_array(array, "every array of residuals", who)
    if len(residuals) != num_layers:
        raise ValueError(f"{who}: the model has {num_layers} layers, residuals {len(residuals)}.")


def check_learns(who: str, layer: Layer) -> None:
    """Raises a ValueError, naming ``who``, if the layer does not know how it ``learns``."""
    check_choice(layer.learns, layer.ways, "learns", who)


def update_operands(layer: Layer, inputs, winners, desired) -> tuple[Operands, ...]:
    """Operands packed along the batch, from words packed along inputs and neurons; a position counts as a sample."""
    winners = dense.transposed(winners)[:, : layer.matrix_shapes[0][0]].T
    desired = dense.transposed(desired)[:, : layer.matrix_shapes[0][0]].T
    return tuple(
        Operands(winners, desired, dense.transposed(i)[:, :fan_in])
        for i, (_, fan_in) in zip(inputs, layer.matrix_shapes, strict=True)
    )
