"""The convolution: a dense layer at every patch of an image, or of a series.

Axis letters: K bits of a patch, N neurons (channels out), M positions, B batch; Wk, Wn words of patch, neurons.
Source: arXiv 2512.04189, Section 3 (the rule of one position); the learning band is not in the paper.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from bep_jax.kernels import bits, patches, products
from bep_jax.kernels.checks import check_count
from bep_jax.kernels.patches import Grid
from bep_jax.network import dense
from bep_jax.network.layers.layer import Layer, Operands, Residuals, Signals, check_learns

_COPY = """\
/* Copies bits to where all of them are 0. */
static inline void @prefix@_copy(uint32_t *to, uint32_t at, const uint32_t *from, uint32_t start, uint32_t count)
{
    while (count > 0) {
        const uint32_t place = at & 31u, shift = start & 31u;
        uint32_t size = 32u - (place > shift ? place : shift);
        size = size < count ? size : count;
        to[at >> 5] |= ((from[start >> 5] >> shift) & (0xffffffffu >> (32u - size))) << place;
        at += size;
        start += size;
        count -= size;
    }
}
"""


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
    "tied winners", chosen on the stability summed over positions as in a recurrent cell.
    """

    image_shape: tuple[int, ...]
    channels: int  # bits of a pixel
    width: int
    patch: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    learns: str = "band"

    ways = ("band", "winners", "tied winners")
    c_support = _COPY

    def __post_init__(self) -> None:
        check_learns("Convolution", self)
        for name, least in (("image_shape", 1), ("patch", 1), ("stride", 1), ("padding", 0)):
            values = tuple(check_count(v, f"every entry of {name}", "Convolution", least) for v in getattr(self, name))
            object.__setattr__(self, name, values)
            if len(values) != len(self.image_shape):
                raise ValueError(f"Convolution: {name}={values} needs an entry for each axis of {self.image_shape}.")
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
        return self.grid.num_bits

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        return ((self.width, self.grid.fan_in),)

    @property
    def gate_fan_in(self) -> int:
        return self.grid.fan_in

    @property
    def num_outputs(self) -> int:
        return self.positions() * self.width

    def positions(self, num_steps: int | None = None) -> int:
        return self.grid.positions

    def forward(self, hidden, inputs):
        """``inputs`` ``[W, B]``; returns the outputs of all positions, Residuals."""
        cut = patches.cut(inputs, self.grid)
        z = dense.forward(hidden[0], cut.reshape(cut.shape[0], -1))
        outputs = dense.activate(z).reshape(-1, *cut.shape[1:])
        return patches.side_by_side(outputs, self.width), Residuals((inputs,), z.reshape(-1, *cut.shape[1:]))

    def signals(self, hidden, residuals, desired, active, gate, selection):
        """From the desired outputs of all positions: Signals ``[M, Wn, B]``."""
        z = residuals.preactivations
        _, positions, batch = z.shape
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

        inputs = dense.transposed(residuals.inputs[0])[:, : self.num_inputs]
        inputs = patches.cut_by_batch(inputs, grid=self.grid)
        return (Operands(by_batch(signals.winners), by_batch(signals.desired), inputs),)

    @property
    def c_words(self) -> int:
        return bits.num_words(self.grid.fan_in)

    def c_forward(self, weights, source, target):
        """A patch at a time, its rows of bits copied together."""
        grid, words, last = self.grid, self.c_words, len(self.patch) - 1
        names = [f"{kind}{axis}" for kind, axes in (("m", last + 1), ("r", last)) for axis in range(axes)]
        body = [f"@prefix@_clear(patch, {words}u);"]
        row, place = [], []
        for axis in range(last):
            pad, size = self.padding[axis], self.image_shape[axis]
            line = [f"for (r{axis} = 0; r{axis} < {self.patch[axis]}u; r{axis}++) {{"]
            at = f"{self.stride[axis]}u * m{axis} + r{axis}"
            if pad:
                line.append(f"    if ({at} < {pad}u || {at} >= {size + pad}u)")
                line.append("        continue;")
                at += f" - {pad}u"
            row += ["    " * axis + text for text in line]
            place.append((at, size, f"r{axis}", self.patch[axis]))
        inner = "    " * last
        pad, size, patch = self.padding[last], self.image_shape[last], self.patch[last]
        first, skip, end = f"{self.stride[last]}u * m{last}", "0u", f"{patch}u"
        if pad:
            body.append(f"skip = {first} < {pad}u ? {pad}u - {first} : 0;")
            body.append(f"end = {first} + {patch}u > {size + pad}u ? {size + pad}u - {first} : {patch}u;")
            skip, end, first = "skip", "end", f"{first} + skip - {pad}u"
            names += ["skip", "end"]
        start, to = (
            _flat([(at, n) for at, n, _, _ in place] + [(first, size)]),
            _flat([(inside, n) for _, _, inside, n in place] + [(skip, patch)]),
        )
        row.append(
            f"{inner}@prefix@_copy(patch, {self.channels}u * ({to}), {source}, {self.channels}u * ({start}), "
            f"{self.channels}u * ({end} - {skip}));"
        )
        row += ["    " * axis + "}" for axis in reversed(range(last))]
        body += row
        body += [
            f"for (n = 0; n < {self.width}u; n++)",
            f"    @prefix@_set({target}, m++, 2u * @prefix@_distance(&{weights[0]}[{words}u * n], patch, {words}u)",
            f"        <= {grid.fan_in}u);",
        ]
        loops = [f"for (m{axis} = 0; m{axis} < {count}u; m{axis}++)" for axis, count in enumerate(grid.counts)]
        return [
            "{",
            f"    uint32_t patch[{words}], n, m = 0, {', '.join(names)};",
            f"    @prefix@_clear({target}, {bits.num_words(self.num_outputs)}u);",
            *(f"    {loop}" for loop in loops[:-1]),
            f"    {loops[-1]} {{",
            *(f"        {line}" for line in body),
            "    }",
            "}",
        ]


def _flat(places: list[tuple[str, int]]) -> str:
    """The C of a flat index, from (index, size) of each axis."""
    index = ""
    for at, size in places:
        index = f"{size}u * ({index}) + {at}" if index else at
    return index
