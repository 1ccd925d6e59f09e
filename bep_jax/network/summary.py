"""What a network costs: weights, bytes and ±1 operations, layer by layer, beside float32.

Bytes are those of a file from `bep_jax.save`: inference keeps one bit a weight, training an int16 hidden weight; the
fixed classifier has one bit a weight in both. An operation is one multiplication of two ±1 values and its addition
to a sum: an exclusive or and its share of a population count.

Axis letters: N neurons, K inputs, C classes, T time steps, H kept time steps.
Source: arXiv 2512.04189, Section 3 (the three products).
"""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from bep_jax.network.layers.layer import Layer
from bep_jax.network.model import Model

_INT16_BITS = 16
_FLOAT32_BYTES = 4
_ADAM_BYTES = 16  # weight, gradient and two moments


class Operations(NamedTuple):
    """±1 multiply-adds, per sample or per time step."""

    forward: int
    backward: int  # desired activations of the layer below
    update: int  # as if every neuron learned; those that no winner mask lets through need none


class Row(NamedTuple):
    """One matrix."""

    name: str
    shape: tuple[int, int]  # (N, K)
    weights: int
    inference_bits: int
    inference_bytes: int
    training_bits: int
    training_bytes: int
    operations: Operations  # of a time step where `each_step`, else of a sample
    each_step: bool
    positions: int = 1  # M, how often a sample uses it, or a time step


@dataclasses.dataclass(frozen=True)
class Summary:
    """What `summary` returns; ``print`` shows it as a table.

    Attributes:
      rows: one a matrix, from the input up, the classifier last.
      horizon: of a recurrent model.
    """

    rows: tuple[Row, ...]
    horizon: int | None = None

    @property
    def weights(self) -> int:
        """Of all matrices, the classifier too."""
        return sum(row.weights for row in self.rows)

    @property
    def inference_bytes(self) -> int:
        """The tensors of a file from ``bep_jax.save(...)``, without an encoder."""
        return sum(row.inference_bytes for row in self.rows)

    @property
    def training_bytes(self) -> int:
        """The tensors of a file from ``bep_jax.save(..., hidden=True)``, without an encoder."""
        return sum(row.training_bytes for row in self.rows)

    @property
    def float32_inference_bytes(self) -> int:
        """Of a float32 network of these shapes."""
        return _FLOAT32_BYTES * self.weights

    @property
    def float32_training_bytes(self) -> int:
        """Of its training with Adam: weight, gradient and two moments, for every matrix."""
        return _ADAM_BYTES * self.weights

    def operations(self, num_steps: int = 1) -> Operations:
        """±1 operations of a whole sample.

        Args:
          num_steps: T, the time steps of a sample; without meaning for a model that is not recurrent. Backward and
            update visit the last H = min(T, horizon) of them.

        Raises:
          ValueError: ``num_steps`` is less than 1.

        Example:
          >>> import bep_jax as bep
          >>> model = bep.rnn(num_inputs=3, state_width=4, output_width=2, num_classes=2)
          >>> summary(model).operations(num_steps=10)
          Operations(forward=292, backward=152, update=288)
        """
        if num_steps < 1:
            raise ValueError(f"Summary.operations: num_steps must be at least 1, got {num_steps}.")
        kept = num_steps if self.horizon is None else min(num_steps, self.horizon)
        once = _total(row.operations for row in self.rows if not row.each_step)
        step = _total(row.operations for row in self.rows if row.each_step)
        return Operations(
            once.forward + num_steps * step.forward,
            # The earliest step that is visited passes nothing on.
            once.backward + (kept - 1) * step.backward,
            once.update + kept * step.update,
        )

    def __str__(self) -> str:
        header = ("layer", "shape", "weights", "inference", "training", "forward", "backward", "update", "")
        steps = any(row.each_step for row in self.rows)
        lines: list[tuple[str, ...]] = [header, ("", "", "", "bytes", "bytes", *3 * ("±1 ops",), "")]
        for row in self.rows:
            sizes = (row.inference_bytes, row.training_bytes)
            shape = "×".join(map(str, row.shape))
            per = "" if not steps else "a time step" if row.each_step else "a sample"
            lines.append((row.name, shape, *map(_number, (row.weights, *sizes, *row.operations)), per))
        totals = [("total", True, "a time step"), ("", False, "a sample")] if steps else [("total", False, "")]
        for name, each_step, per in totals:
            counts = _total(row.operations for row in self.rows if row.each_step == each_step)
            stored = (self.weights, self.inference_bytes, self.training_bytes)
            shown = map(_number, stored) if name else ("", "", "")
            lines.append((name, "", *shown, *map(_number, counts), per))
        wide = (self.weights, self.float32_inference_bytes, self.float32_training_bytes)
        lines.append(("float32", "", *map(_number, wide), "", "", "", ""))
        ratios = (wide[1] / self.inference_bytes, wide[2] / self.training_bytes)
        lines.append(("smaller", "", "", *(f"{ratio:.1f}×" for ratio in ratios), "", "", "", ""))
        widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
        text = [
            "  ".join(
                cell.ljust(width) if i in (0, len(header) - 1) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "-" * max(map(len, text))
        text.insert(2, rule)
        text.insert(3 + len(self.rows), rule)
        return "\n".join(text)


def summary(model: Model) -> Summary:
    """Counts what a network takes: weights, bytes for inference and training, ±1 operations.

    A layer of N neurons and K inputs at M tied positions costs M·N·K operations forward, as many for its update, and as
    many backward where there is a layer, or an earlier time step, below it. The classifier is fixed and has a forward
    pass alone.

    Args:
      model: a `Model`.

    Returns:
      A `Summary`: ``print`` it, or read its ``rows`` and totals.

    Raises:
      TypeError: this is no model.

    Example:
      >>> import bep_jax as bep
      >>> print(summary(bep.mlp(num_inputs=784, widths=(525, 525), num_classes=10)))
      layer         shape  weights  inference    training  forward  backward   update
                                        bytes       bytes   ±1 ops    ±1 ops   ±1 ops
      -------------------------------------------------------------------------------
      layer 1     525×784  411,600     51,450     823,200  411,600         0  411,600
      layer 2     525×525  275,625     34,454     551,250  275,625   275,625  275,625
      classifier   10×525    5,250        657         657    5,250         0        0
      -------------------------------------------------------------------------------
      total                692,475     86,561   1,375,107  692,475   275,625  687,225
      float32              692,475  2,769,900  11,079,600
      smaller                           32.0×        8.1×
    """
    if not isinstance(model, Model):
        raise TypeError(f"summary: wanted a Model, from bep.mlp or bep.rnn, got {type(model).__name__}.")
    rows: list[Row] = []
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"summary: wanted layers derived from bep_jax.Layer, got {type(layer).__name__}.")
        place = "output" if model.recurrent else f"layer {i + 1}"
        times = 1 if layer.over_time else layer.positions()
        for name, shape, backward in zip(
            layer.matrix_names, layer.matrix_shapes, layer.back_projects(i > 0), strict=True
        ):
            name = name or (place if times == 1 else f"{place}, {times} positions")
            rows.append(_row(name, shape, times, backward=backward, each_step=layer.over_time))
    rows.append(_row("classifier", (model.num_classes, model.num_outputs), fixed=True))
    return Summary(tuple(rows), model.layers[0].horizon)


def _row(
    name: str,
    shape: tuple[int, int],
    times: int = 1,
    *,
    backward: bool = False,
    each_step: bool = False,
    fixed: bool = False,
) -> Row:
    weights = shape[0] * shape[1]
    training_bits = weights if fixed else _INT16_BITS * weights
    once = weights * times
    operations = Operations(once, once if backward else 0, 0 if fixed else once)
    octets = (weights + 7) // 8, (training_bits + 7) // 8
    return Row(name, shape, weights, weights, octets[0], training_bits, octets[1], operations, each_step, times)


def _total(operations: Iterable[Operations]) -> Operations:
    columns = list(zip(*operations, strict=True))
    return Operations(*map(sum, columns)) if columns else Operations(0, 0, 0)


def _number(value: int) -> str:
    return f"{value:,}"
