"""Networks as compositions of tied dense layers: `mlp`, `conv`, `rnn`.

A `Model` is static: it says which layers there are and how wide. A `Params` holds the numbers: hidden integer weights
and the fixed classifier. The binary chain rule (`bep_jax.learning.chain`) is written on what each `Layer` answers.

Axis letters: K inputs, N neurons, C classes, T time steps, L layers.
Source: arXiv 2512.04189, Sections 3.2 (layers) and 3.5 (recurrent).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax.kernels.checks import (
    check_array,
    check_count,
    check_flag,
    check_memory,
    check_positive,
    check_several,
    check_type,
    is_several,
    shown,
)
from bep_jax.network.frames import equiangular_frame
from bep_jax.network.layers.convolution import Convolution, usual_filters
from bep_jax.network.layers.dense import Dense
from bep_jax.network.layers.layer import Layer
from bep_jax.network.layers.recurrent import Recurrent

# Convolutions, from the input up, that learn by band where nothing is said. A third one comes to see every patch alike.
_BY_BAND = 2


class Params(NamedTuple):
    """The numbers of a network."""

    hidden: tuple[jax.Array, ...]  # per matrix int16 [N, K]; odd integers whose signs are the visible weights
    classifier: jax.Array  # uint32 [C, W], the fixed ±1 class vectors packed along the last layer's neurons


@jax.tree_util.register_static
@dataclass(frozen=True)
class Model:
    """A network's architecture: layers from the input up, then a fixed classifier. Made by `mlp`, `conv` or `rnn`."""

    layers: tuple[Layer, ...]
    num_classes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", check_several(self.layers, "layers", "Model"))
        object.__setattr__(self, "num_classes", check_count(self.num_classes, "num_classes", "Model", least=2))
        if not self.layers:
            raise ValueError("Model: wanted at least one layer.")
        for layer in self.layers:
            check_type(layer, Layer, "every layer", "Model")
        for before, after in itertools.pairwise(self.layers):
            if before.num_outputs != after.num_inputs:
                raise ValueError(
                    f"Model: a layer with {before.num_outputs} outputs comes before one with {after.num_inputs} inputs."
                )

    @property
    def num_inputs(self) -> int:
        """Input bits, of one time step if the network is recurrent."""
        return self.layers[0].num_inputs

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each layer."""
        return tuple(layer.width for layer in self.layers)

    @property
    def num_outputs(self) -> int:
        """Bits that the last layer gives to the classifier."""
        return self.layers[-1].num_outputs

    @property
    def recurrent(self) -> bool:
        """Whether inputs have a time axis."""
        return self.layers[0].over_time

    @property
    def matrix_shapes(self) -> tuple[tuple[int, int], ...]:
        """``(N, K)`` of each hidden matrix, in the order of `Params.hidden`."""
        return tuple(shape for layer in self.layers for shape in layer.matrix_shapes)

    def split(self, hidden: Sequence) -> list[tuple]:
        """Groups one value a matrix into one tuple a layer."""
        values = iter(hidden)
        return [tuple(next(values) for _ in layer.matrix_shapes) for layer in self.layers]

    def check_memory(self, who: str, num_networks: int = 1) -> None:
        """Raises ValueError, naming ``who``, if so many networks cannot be held by any memory of this machine."""
        sizes = [rows * columns for rows, columns in self.matrix_shapes]
        # int16 weights, and while they are drawn or updated 32 bits for each of a matrix.
        what = f"{num_networks} network{'s' * (num_networks > 1)} of {sum(sizes):,} weights"
        check_memory(2 * num_networks * sum(sizes) + 4 * max(sizes), what, who)

    def init(self, key: jax.Array, scale: float | Sequence[float] = 64.0) -> Params:
        """Draws hidden weights and a classifier.

        h = 2 floor(n / 2) + 1 with n ~ N(0, scale²), so h is odd and never 0. The draw compares random bits with an
        integer table of the normal distribution: the same on every platform.

        Args:
          key: a key from ``jax.random.key``.
          scale: σ > 0, the standard deviation, one or one for each layer (see `bep_jax.initial_scale`); values are cut
            to the int16 range. A recurrent matrix with ``patterns`` (see `rnn`) is 2 floor(σ c / 2 √P) + 1 instead, c
            the overlap of two neurons in P random patterns.

        Returns:
          `Params` with int16 hidden weights and the packed `equiangular_frame`.

        Raises:
          TypeError: ``scale`` is neither a number nor a sequence of numbers.
          ValueError: ``scale`` is not positive, or there is not one for each layer.

        Example:
          >>> params = mlp(num_inputs=6, widths=(4,), num_classes=2).init(jax.random.key(0))
          >>> params.hidden[0].shape, params.hidden[0].dtype
          ((4, 6), dtype('int16'))
        """
        check_key("Model.init", key)
        scales = check_scale("Model.init", self, scale)
        self.check_memory("Model.init")
        classifier_key, *keys = jax.random.split(key, 1 + len(self.matrix_shapes))
        hidden: list[jax.Array] = []
        for layer, own, sigma in zip(self.layers, self.split(keys), scales, strict=True):
            hidden.extend(layer.init(own, sigma))
        return Params(tuple(hidden), equiangular_frame(classifier_key, self.num_classes, self.num_outputs))


def check_scale(who: str, model: Model, scale: float | Sequence[float]) -> tuple[float, ...]:
    """One scale for each layer, or an error that names ``who``.

    Raises:
      TypeError: ``scale`` is neither a number nor a sequence of numbers.
      ValueError: one is not positive and finite, or there is not one for each layer.
    """
    several = is_several(scale) and isinstance(scale, Sequence | np.ndarray)
    for value in scale if several else (scale,):  # type: ignore[union-attr]
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"{who}: scale must be a number, or one for each layer, got {shown(scale)}.")
        check_positive(value, "scale", who)
    scales = tuple(scale) if several else (scale,) * len(model.layers)  # type: ignore[arg-type]
    if len(scales) != len(model.layers):
        raise ValueError(f"{who}: scale has {len(scales)} entries, the model {len(model.layers)} layers.")
    return tuple(map(float, scales))  # type: ignore[arg-type]


def check_key(who: str, key: jax.Array) -> None:
    """Raises a TypeError, naming ``who``, if this is no key."""
    raw = getattr(key, "dtype", None) == jnp.uint32 and key.shape == (2,)
    if not raw and not jnp.issubdtype(getattr(key, "dtype", None) or bool, jax.dtypes.prng_key):
        raise TypeError(f"{who}: wanted a key from jax.random.key, got {type(key).__name__}.")


def check_params(params: Any, who: str) -> None:
    """Raises a TypeError, naming ``who``, if these are no `Params` of arrays."""
    if not isinstance(params, Params):
        raise TypeError(f"{who}: wanted Params, from model.init or fit, got {type(params).__name__}.")
    for array in (*check_several(params.hidden, "params.hidden", who), params.classifier):
        check_array(array, "every array of params", who)


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
    if not is_several(widths) or not (widths := tuple(widths)):
        raise ValueError(f"mlp: widths must be a tuple with at least one layer, got {shown(widths)}.")
    sizes = tuple(check_count(s, "every size", "mlp") for s in (num_inputs, *widths))
    layers = tuple(Dense(k, n) for k, n in itertools.pairwise(sizes))
    return Model(layers, check_count(num_classes, "num_classes", "mlp", least=2))


def conv(
    *,
    image_shape: Sequence[int],
    channels: int = 1,
    filters: Sequence[Sequence[int | Sequence[int]]] | None = None,
    widths: Sequence[int] = (525, 525),
    num_classes: int,
    learns: str | Sequence[str] | None = None,
    extra: int = 0,
) -> Model:
    """A convolutional network with binary weights and activations: convolutions, then dense layers.

    A convolution is a dense layer at every patch of an image, or of a series. Inputs are packed pixel by pixel, row by
    row, the bits of a pixel (its channels, as from a thermometer) together: what `bep_jax.datasets` and the encoders
    make of flattened images, and of flattened series.

    Args:
      image_shape: (rows, columns) of an image, or (time steps,) of a series; more axes work, too.
      channels: bits of a pixel or time step.
      filters: for each convolution (channels out, patch, stride) or (channels out, patch, stride, padding), in pixels;
        a number counts along every axis, a tuple has one for each. Padding is -1. None: one by the size of the image,
        (64, 7, 3) for 28 × 28; for a series, patches of a sixth of it, at most 15 steps.
      widths: neurons of each dense layer after them; may be empty.
      num_classes: C >= 2.
      learns: how convolutions learn, all or each of them: by "band", every neuron near its flip, position by position
        (see `Rule`); by "winners", one wrong neuron a group and position; by "tied winners", one a group for all
        positions. None: the first two by band, those above by winners, which by band stay at chance.
      extra: bits that lie behind those of the image and go past the convolutions, to the dense layers: what an image or
        a series is as a whole, as `bep_jax.encode.union` puts it there.

    Returns:
      A static, hashable `Model`.

    Raises:
      TypeError: a size is not an integer.
      ValueError: a size is below 1, a patch is larger than its image, ``filters`` is empty, ``learns`` is unknown.

    Example:
      >>> model = conv(image_shape=(28, 28), filters=((64, 7, 3), (32, 3, 1)), widths=(105,), num_classes=10)
      >>> model.matrix_shapes
      ((64, 49), (32, 576), (105, 1152))
      >>> conv(image_shape=(28, 28), widths=(105,), num_classes=10, extra=100).matrix_shapes
      ((64, 49), (105, 4196))

    Source: arXiv 2512.04189, Section 3 (the rule); convolutions and the band are not in the paper.
    """
    image_shape = check_several(image_shape, "image_shape", "conv")
    shape = tuple(check_count(n, "every entry of image_shape", "conv") for n in image_shape)
    channels, extra = check_count(channels, "channels", "conv"), check_count(extra, "extra", "conv", least=0)
    if filters is None and shape:
        filters = usual_filters(shape)
    filters = () if filters is None else check_several(filters, "filters", "conv")
    if not shape or not filters:
        raise ValueError(f"conv: wanted an image_shape and filters, got {image_shape} and {filters}.")
    if learns is None:
        learns = ["band" if i < _BY_BAND else "winners" for i in range(len(filters))]
    each = [learns] * len(filters) if isinstance(learns, str) else list(check_several(learns, "learns", "conv"))
    if len(each) != len(filters):
        raise ValueError(f"conv: learns must be one, or one for each of {len(filters)} filters, got {shown(learns)}.")
    layers: list[Layer] = []
    for one, way in zip(filters, each, strict=True):
        if not isinstance(one, Sequence | np.ndarray) or isinstance(one, str | bytes) or len(one) not in (3, 4):
            raise ValueError(f"conv: filters are (channels out, patch, stride) or with padding, got {shown(one)}.")
        layer = Convolution.over(shape, channels, *one, learns=way, extra=extra)
        layers.append(layer)
        shape, channels = layer.grid.counts, layer.width
    for width in check_several(widths, "widths", "conv"):
        layers.append(Dense(layers[-1].num_outputs, check_count(width, "every width", "conv")))
    return Model(tuple(layers), check_count(num_classes, "num_classes", "conv", least=2))


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
    cell = Recurrent(kx, ks, horizon, patterns, check_flag(gated_update, "gated_update", "rnn"))
    return Model((cell, Dense(ks, ky)), check_count(num_classes, "num_classes", "rnn", least=2))
