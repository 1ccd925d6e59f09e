"""Settings that follow from shapes: the initial scale, the gate, the group size.

A hidden layer learns features only if its first steps do not flip most of its weights, so the scale of the start grows
with the number of updates that a step adds up: samples times tied positions. Through all gates together about two
thirds of an error should come, whatever fan-in and depth, and one neuron in each of a few groups should learn. What a
layer's factors are, the layer says.

Axis letters: K fan-in, N neurons, B batch, M tied positions, T time steps.
Source: measured; the page "Choosing settings" of the documentation has the figures.
"""

import math
from statistics import NormalDist

from bep_jax.kernels.checks import check_count, check_type
from bep_jax.network.layers.layer import Layer
from bep_jax.network.model import Model

_UPDATES = 0.64  # σ over samples times positions, up to so many inputs of the data:
_FAN_IN, _PATCH = 784, 49
# σ of a first dense layer grows with its inputs in batches of up to so many, with their root in large ones.
_BATCH = 100
_LEAST, MOST_SCALE = 64.0, 8192.0  # of σ; above, weights meet the ends of int16
# Above convolutions, whose patches overlap: inputs that are alike add up to large sums, and to large steps.
_LEAST_OF_PATCHES, _TIMES_OF_PATCHES = 128.0, 3.0
_MANY = 1400  # inputs of a layer above convolutions, from three times so many on its scale grows with them
_TIMES_GATE = 2.0  # of the dense layer there
_TIMES_GROUPS = 3.0  # of the dense layers there


def initial_scale(model: Model, batch_size: int, num_steps: int | None = None) -> tuple[float, ...]:
    """The scale σ that hidden weights start with, by layer: 0.64 B M, at least 64 and at most 8192.

    In a first dense layer of K > 784 inputs K / 784 times as much, of B > 100 samples max(100 / B K / 784, √(K / 784))
    times, in a first convolution of K > 49 inputs a patch √(K / 49) times: where many inputs are alike, as the levels
    of a pixel are, a step moves sums further. In networks with convolutions at least 128, and in the layer above them
    K / 1400 times as much, at least three times.

    Args:
      model: a `Model`.
      batch_size: B, samples that a step learns from.
      num_steps: T, the time steps of a sample, for a recurrent model.

    Returns:
      σ of each layer, for `Model.init`.

    Raises:
      TypeError: ``batch_size`` is not an integer.
      ValueError: it is below 1, or a recurrent model wants ``num_steps``.

    Example:
      >>> from bep_jax.network.model import mlp, rnn
      >>> initial_scale(mlp(num_inputs=784, widths=(525, 525), num_classes=10), batch_size=200)
      (128.0, 128.0)
      >>> cell = rnn(num_inputs=28, state_width=35, output_width=15, num_classes=10)
      >>> initial_scale(cell, batch_size=100, num_steps=28)
      (1792.0, 64.0)
      >>> levels = mlp(num_inputs=3136, widths=(525, 525), num_classes=10)
      >>> [initial_scale(levels, batch_size) for batch_size in (100, 200, 400)]
      [(256.0, 64.0), (256.0, 128.0), (512.0, 256.0)]
    """
    check_type(model, Model, "model", "initial_scale")
    batch_size = check_count(batch_size, "batch_size", "initial_scale")
    if num_steps is not None:
        num_steps = check_count(num_steps, "num_steps", "initial_scale")
    if model.recurrent and num_steps is None:
        raise ValueError("initial_scale: a recurrent model wants num_steps, the time steps of a sample.")
    convolutions, first = _convolutions(model), model.layers[0]
    least = _LEAST_OF_PATCHES if any(convolutions) else _LEAST
    factors = [
        max(_TIMES_OF_PATCHES, layer.gate_fan_in / _MANY) if above else 1.0
        for layer, above in zip(model.layers, _above_convolutions(model), strict=True)
    ]
    inputs = 1 if first.over_time else max(fan_in for _, fan_in in first.matrix_shapes)
    more = max(1.0, inputs / (_PATCH if convolutions[0] else _FAN_IN))
    factors[0] = math.sqrt(more)
    if not convolutions[0]:
        factors[0] = max(factors[0], min(1.0, _BATCH / batch_size) * more)
    return tuple(
        min(max(_UPDATES * batch_size * layer.positions(num_steps) * factor, least), MOST_SCALE)
        for layer, factor in zip(model.layers, factors, strict=True)
    )


def gate_factors(model: Model) -> tuple[float, ...]:
    """c of each layer's usual gate, \\|z\\| <= c √K: its ``usual_gate``, wider in deep networks.

    Errors pass one gate fewer than there are dense layers, each with the share of its neurons that are open. Two layers
    have 1 √K, open for 68 % of sums; with more, each is as wide as lets as many through all of them together. The
    dense layer above convolutions, whose sums are wider, has twice as wide a one.

    Example:
      >>> from bep_jax.network.model import mlp
      >>> models = [mlp(num_inputs=784, widths=(255,) * depth, num_classes=10) for depth in (2, 3, 5, 10)]
      >>> [round(gate_factors(model)[0], 2) for model in models]
      [1.0, 1.36, 1.69, 2.04]
    """
    depth = sum(layer.learns != "band" for layer in model.layers)
    normal = NormalDist()
    share = (2 * normal.cdf(1.0) - 1) ** (1 / max(1, depth - 1))
    reach = normal.inv_cdf((1 + share) / 2)
    return tuple(
        layer.usual_gate * (reach if depth > 2 else 1.0) * (_TIMES_GATE if above else 1.0)
        for layer, above in zip(model.layers, _above_convolutions(model), strict=True)
    )


def usual_gates(model: Model) -> tuple[int, ...]:
    """The gate thresholds on \\|z\\|, floor(c √K) with c of `gate_factors`: in two layers ν = 1 / √K, recurrent 2 / √K.

    Example:
      >>> from bep_jax.network.model import mlp
      >>> usual_gates(mlp(num_inputs=784, widths=(525, 525), num_classes=10))
      (28, 22)
    """
    factors = zip(gate_factors(model), model.layers, strict=True)
    return tuple(math.floor(factor * math.sqrt(layer.gate_fan_in) + 1e-9) for factor, layer in factors)


def divisors(width: int) -> list[int]:
    """All divisors, ascending.

    Example:
      >>> divisors(45)
      [1, 3, 5, 9, 15, 45]
    """
    small = [d for d in range(1, math.isqrt(width) + 1) if width % d == 0]
    return sorted({*small, *(width // d for d in small)})


def usual_groups(model: Model) -> tuple[float, ...]:
    """How many groups each layer of N neurons is cut into: 0.3 √N, a recurrent cell 1.4 √N, above convolutions 0.9 √N.

    Example:
      >>> from bep_jax.network.model import mlp
      >>> usual_groups(mlp(num_inputs=784, widths=(400, 100), num_classes=10))
      (6.0, 3.0)
    """
    convolutions = _convolutions(model)
    return tuple(
        _groups(layer, any(convolutions) and not own) for layer, own in zip(model.layers, convolutions, strict=True)
    )


def _groups(layer: Layer, above_convolutions: bool) -> float:
    times = _TIMES_GROUPS if above_convolutions else 1.0
    return max(1.0, times * layer.usual_groups * math.sqrt(layer.width))


def usual_group_sizes(model: Model) -> tuple[int, ...]:
    """γ of each layer: its width over `usual_groups`; where it has one near, a divisor of the width.

    Where it has none the last group is shorter.

    Example:
      >>> from bep_jax.network.model import conv, mlp
      >>> usual_group_sizes(mlp(num_inputs=784, widths=(35, 105, 255, 525, 1035, 101), num_classes=10))
      (35, 35, 51, 75, 115, 33)
      >>> usual_group_sizes(conv(image_shape=(28, 28), widths=(525, 525), num_classes=10))[1:]
      (25, 25)
    """
    groups = zip(model.widths, usual_groups(model), strict=True)
    return tuple(group_size_near(width, width / number) for width, number in groups)


def may_be_usual(layer: Layer, size: int) -> bool:
    """Whether γ is that of `usual_group_sizes` for this layer in some model.

    Example:
      >>> from bep_jax.network.layers.dense import Dense
      >>> [size for size in range(1, 102) if may_be_usual(Dense(784, 101), size)]
      [11, 33]
    """
    return size in (group_size_near(layer.width, layer.width / _groups(layer, above)) for above in (False, True))


def group_size_near(width: int, wanted: float) -> int:
    """A divisor of the width, where one is within a factor of 1.8 of what is wanted; else that, rounded.

    Example:
      >>> group_size_near(525, 70.0), group_size_near(101, 33.5)
      (75, 34)
    """
    nearest = min(divisors(width), key=lambda d: (abs(math.log(d / wanted)), d))
    return nearest if abs(math.log(nearest / wanted)) <= math.log(1.8) else max(1, round(wanted))


def _convolutions(model: Model) -> list[bool]:
    """Of each layer, whether it is one: its positions lie side by side."""
    return [layer.num_outputs != layer.width for layer in model.layers]


def _above_convolutions(model: Model) -> list[bool]:
    """Of each layer, whether it is the dense one above them."""
    own = _convolutions(model)
    return [below and not tied for below, tied in zip([False, *own[:-1]], own, strict=True)]
