"""The convolution: a dense layer at every patch of an image, or of a series.

Axis letters: K bits of a patch, N neurons (channels out), M positions, B batch; Wk, Wn words of patch, neurons.
Source: arXiv 2512.04189, Section 3 (the rule of one position); the learning band is not in the paper.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from bep_jax.kernels import bits, patches, products
from bep_jax.kernels.checks import check_count, check_several
from bep_jax.kernels.patches import Grid
from bep_jax.network import dense
from bep_jax.network.layers import convolution_c
from bep_jax.network.layers.layer import Layer, Operands, Residuals, Signals, check_learns


def usual_filters(image_shape: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """One convolution by the size of what it reads: 64 channels out, (patch, stride).

    Images: patches of a quarter of the shorter side, a ninth of it apart. Series: patches of a sixth of T, at most 15
    steps, a 40th of it apart.

    Example:
      >>> usual_filters((28, 28)), usual_filters((8, 8)), usual_filters((96,))
      (((64, 7, 3),), ((64, 3, 1),), ((64, 15, 2),))
    """
    side = min(image_shape)
    if len(image_shape) == 1:
        patch, stride = min(15, side // 6), side // 40
    else:
        patch, stride = round(side / 4), round(side / 9)
    return ((64, min(side, max(3, patch)), max(1, stride)),)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Convolution(Layer):
    """A convolution: the same N neurons at every patch. Its outputs lie position by position, row by row.

    Every tuple has one entry for each axis of the image. ``learns`` by "band", by "winners" of each position, or by
    "tied winners", chosen on the stability summed over positions as in a recurrent cell. ``extra`` bits that lie behind
    those of the image go past it, and lie behind its outputs.
    """

    image_shape: tuple[int, ...]
    channels: int  # bits of a pixel
    width: int
    patch: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    learns: str = "band"
    extra: int = 0

    ways = ("band", "winners", "tied winners")
    c_support = convolution_c.COPY

    def __post_init__(self) -> None:
        check_learns("Convolution", self)
        for name, least in (("image_shape", 1), ("patch", 1), ("stride", 1), ("padding", 0)):
            given = check_several(getattr(self, name), name, "Convolution")
            values = tuple(check_count(v, f"every entry of {name}", "Convolution", least) for v in given)
            object.__setattr__(self, name, values)
            if len(values) != len(self.image_shape):
                raise ValueError(f"Convolution: {name}={values} needs an entry for each axis of {self.image_shape}.")
        object.__setattr__(self, "extra", check_count(self.extra, "extra", "Convolution", least=0))
        for name in ("channels", "width"):
            object.__setattr__(self, name, check_count(getattr(self, name), name, "Convolution"))
        if any(p > n for p, n in zip(self.patch, self.grid.padded, strict=True)):
            raise ValueError(f"Convolution: a patch of {self.patch} is larger than the image, {self.grid.padded}.")
        if any(q >= p for q, p in zip(self.padding, self.patch, strict=True)):
            raise ValueError(f"Convolution: padding {self.padding} must be smaller than the patch, {self.patch}.")

    @classmethod
    def over(
        cls, image_shape: tuple[int, ...], channels: int, width: int, patch: Any, stride: Any, padding: Any = 0, **more
    ) -> "Convolution":
        """A convolution whose patch, stride and padding are given once for all axes, or one for each.

        Example:
          >>> Convolution.over((28, 28), 1, 64, 7, 3).positions()
          64
        """
        axes = len(image_shape)
        each = [tuple(v) if isinstance(v, tuple | list) else (v,) * axes for v in (patch, stride, padding)]
        return cls(image_shape, channels, width, each[0], each[1], each[2], **more)

    @property
    def grid(self) -> Grid:
        """Where its patches lie."""
        return Grid(self.image_shape, self.channels, self.patch, self.stride, self.padding)

    @property
    def num_inputs(self) -> int:  # type: ignore[override]
        """Bits in."""
        return self.grid.num_bits + self.extra

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        return ((self.width, self.grid.fan_in),)

    @property
    def gate_fan_in(self) -> int:
        return self.grid.fan_in

    @property
    def num_outputs(self) -> int:
        return self.positions() * self.width + self.extra

    def positions(self, num_steps: int | None = None) -> int:
        return self.grid.positions

    def forward(self, hidden, inputs):
        """``inputs`` ``[W, B]``; returns the outputs of all positions, Residuals."""
        past = None
        if self.extra:
            past = bits.slice_major(inputs, start=self.grid.num_bits, num_bits=self.extra)
            inputs = bits.slice_major(inputs, start=0, num_bits=self.grid.num_bits)
        cut = patches.cut(inputs, self.grid)
        z = dense.forward(hidden[0], cut.reshape(cut.shape[0], -1))
        outputs = dense.activate(z).reshape(-1, *cut.shape[1:])
        outputs = patches.side_by_side(outputs, self.width)
        if past is not None:
            outputs = bits.join_major(outputs, past, sizes=(self.num_outputs - self.extra, self.extra))
        return outputs, Residuals((inputs,), z.reshape(-1, *cut.shape[1:]))

    def signals(self, hidden, residuals, desired, active, gate, selection):
        """From the desired outputs of all positions: Signals ``[M, Wn, B]``."""
        z = residuals.preactivations
        _, positions, batch = z.shape
        if self.extra:
            desired = bits.slice_major(desired, start=0, num_bits=positions * self.width)
        wanted = patches.by_position(desired, positions, self.width)  # [Wn, M, B]
        flat, everywhere = z.reshape(self.width, -1), jnp.tile(active, positions)

        def apart(words):  # [Wn, M * B] -> [M, Wn, B]
            return jnp.moveaxis(words.reshape(-1, positions, batch), 0, 1)

        if self.learns == "band":
            winners = apart(dense.band(flat, everywhere, selection))
        elif self.learns == "winners":
            fan_in = self.grid.fan_in
            winners = apart(dense.winners(flat, wanted.reshape(-1, flat.shape[1]), everywhere, selection, bound=fan_in))
        else:
            stability = dense.summed_stability(jnp.moveaxis(z, 0, 1), jnp.moveaxis(wanted, 0, 1))
            bound = positions * self.grid.fan_in
            winners = dense.tied_winners(stability, active, selection, bound=bound)
            winners = jnp.broadcast_to(winners[None], (positions, *winners.shape))
        return Signals(jnp.moveaxis(wanted, 0, 1), apart(dense.gate(flat, gate)), winners)

    def desired_input(self, hidden, signals):
        """Of all patches that hold an input, their back-projections summed, and the sign."""
        positions, _, batch = signals.desired.shape
        desired, gates = (jnp.moveaxis(w, 1, 0).reshape(w.shape[1], -1) for w in (signals.desired, signals.gates))
        back = products.backward(dense.visible_by_neurons(hidden[0]), desired, gates)
        return patches.fold(back.reshape(-1, positions, batch), grid=self.grid)

    def operands(self, residuals, signals):
        """One product over positions and batch."""

        def by_batch(words):  # [M, Wn, B] -> [N, M * Wb], each position in words of its own
            words = jnp.moveaxis(jnp.pad(words, ((0, 0), (0, 0), (0, -words.shape[2] % bits.WORD_BITS))), 1, 0)
            return dense.transposed(words.reshape(words.shape[0], -1))[:, : self.width].T

        inputs = dense.transposed(residuals.inputs[0])[:, : self.grid.num_bits]
        inputs = patches.cut_by_batch(inputs, grid=self.grid)
        return (Operands(by_batch(signals.winners), by_batch(signals.desired), inputs),)

    @property
    def c_words(self) -> int:
        return bits.num_words(self.grid.fan_in)

    @property
    def c_identity(self) -> tuple:
        return *super().c_identity, self.grid

    def c_forward(self, weights, source, target):
        return convolution_c.forward(self, weights, source, target)

    def c_learning(self, place):
        return convolution_c.learning(self, place)
