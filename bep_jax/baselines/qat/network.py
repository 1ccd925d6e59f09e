"""The network of quantisation-aware training: latent float32 weights, binary weights and activations.

What the literature leaves open is settled so:

- The straight-through gradient of sign(v) is 1 where |v| <= 1, for weights and activations (Hubara et al. 2016).
- A pre-activation is multiplied by 1 / sqrt(fan-in). Its sign, hence the network, stays the same; but the gradient then
  passes within one standard deviation instead of within |z| <= 1 of a sum of hundreds of ±1. ``scaled=False`` in
  `init` leaves the integers as they are.
- The classifier is one more binary dense layer ``[C, K_L]``, trained; its logits are always scaled in the same way.
- Batch normalisation follows every dense layer, the classifier included, as in Hubara et al. 2016. A recurrent cell
  normalises its whole pre-activation at every time step, with gain and shift shared by all steps and statistics of
  each step's own (Cooijmans et al. 2017), so a batch-normalised cell is tied to one sequence length.
- Latent weights start Glorot-uniform.
- A convolution is normalised by channel, with statistics over batch and positions; what lies outside its image is -1.

Speed: weights ``[N, K]`` times activations with the batch last is the fastest form of the dense layers on CPU; in the
recurrent cell, the batch comes first, all input projections are one product, and so is the gradient of the recurrent
weights (autodiff of a scan would add up T products).

Axis letters: K inputs, N neurons, B batch, T time steps, C classes, L layers, W words.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_array, check_count, check_flag, check_type
from bep_jax.learning.chain import check_model, check_words
from bep_jax.network.layers.convolution import Convolution
from bep_jax.network.model import Model, check_key

_EPSILON = 1e-5


class Norm(NamedTuple):
    """What batch normalisation learns."""

    gain: jax.Array  # float32 [N]
    shift: jax.Array  # float32 [N]


class Statistics(NamedTuple):
    """What batch normalisation uses for inference: running averages over mini-batches."""

    mean: jax.Array  # float32 [N], of a recurrent cell [T, N]
    variance: jax.Array  # float32 [N], of a recurrent cell [T, N]


class Trained(NamedTuple):
    """What Adam changes."""

    latent: tuple[jax.Array, ...]  # per matrix float32 [N, K] in [-1, 1]; the last is the classifier [C, K_L]
    norms: tuple[Norm, ...]  # per layer and of the classifier; empty without batch normalisation


class Variables(NamedTuple):
    """All numbers of a float network."""

    trained: Trained
    statistics: tuple[Statistics, ...]  # like Trained.norms
    scales: tuple[jax.Array, ...]  # per layer and of the classifier float32 [], multiplies the pre-activation


def init(
    key: jax.Array, model: Model, *, batch_norm: bool = False, num_steps: int | None = None, scaled: bool = True
) -> Variables:
    """Draws latent weights.

    Args:
      key: a key from ``jax.random.key``.
      model: a `Model` from ``bep.mlp`` or ``bep.rnn``; its backward horizon is ignored.
      batch_norm: whether every dense layer is followed by batch normalisation.
      num_steps: T, the length of the sequences; needed, and used, for a recurrent model with batch normalisation only.
      scaled: whether pre-activations are multiplied by 1 / sqrt(fan-in). The logits always are.

    Returns:
      `Variables`.

    Raises:
      TypeError: ``model`` is not a `Model`.
      ValueError: ``num_steps`` is missing or below 1.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(4,), num_classes=2)
      >>> [w.shape for w in init(jax.random.key(0), model).trained.latent]
      [(4, 6), (2, 4)]
    """
    check_model("init", model)
    check_key("init", key)
    for name, flag in (("batch_norm", batch_norm), ("scaled", scaled)):
        check_flag(flag, name, "init")
    shapes = (*model.matrix_shapes, (model.num_classes, model.num_outputs))
    latent = []
    for layer_key, (neurons, fan_in) in zip(jax.random.split(key, len(shapes)), shapes, strict=True):
        limit = min(1.0, math.sqrt(6 / (neurons + fan_in)))
        latent.append(jax.random.uniform(layer_key, (neurons, fan_in), jnp.float32, -limit, limit))
    norms, statistics = [], []
    if batch_norm:
        if model.recurrent:
            if num_steps is None:
                raise ValueError("init: batch_norm of a recurrent model needs num_steps, the length of the sequences.")
            num_steps = check_count(num_steps, "num_steps", "init")
        for i, width in enumerate((*model.widths, model.num_classes)):
            shape = (num_steps, width) if i == 0 and model.recurrent else (width,)
            norms.append(Norm(jnp.ones(width, jnp.float32), jnp.zeros(width, jnp.float32)))
            statistics.append(Statistics(jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32)))
    fan_ins = [sum(k for _, k in matrices) for matrices in model.split(model.matrix_shapes)]
    scales = [jnp.float32(1 / math.sqrt(k) if scaled else 1) for k in fan_ins]
    scales.append(jnp.float32(1 / math.sqrt(model.num_outputs)))
    return Variables(Trained(tuple(latent), tuple(norms)), tuple(statistics), tuple(scales))


def logits(model: Model, variables: Variables, x: jax.Array) -> jax.Array:
    """Class scores for inference: batch normalisation uses its running statistics.

    Args:
      model: a `Model`.
      variables: its `Variables`.
      x: uint32 ``[B, W]``, recurrent ``[B, T, W]``; packed input bits.

    Returns:
      float32 ``[B, C]``.

    Raises:
      TypeError: ``x`` is not uint32 or ``model`` is not a `Model`.
      ValueError: shapes do not fit the model.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(4,), num_classes=2)
      >>> logits(model, init(jax.random.key(0), model), bep.bits.pack(jnp.ones((3, 6), bool))).shape
      (3, 2)
    """
    check("logits", model, variables, x)
    return forward(model, variables.trained, variables, x, None, training=False)[0].T


@jax.custom_jvp
def sign(v: jax.Array) -> jax.Array:
    """±1 of floats, sign(0) = +1, with the straight-through derivative: 1 where |v| <= 1, else 0."""
    return jnp.where(v >= 0, jnp.float32(1), jnp.float32(-1))


@sign.defjvp
def _sign_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    return sign(*primals), jnp.where(jnp.abs(primals[0]) <= 1, tangents[0], 0.0)


def forward(
    model: Model, trained: Trained, variables: Variables, x: jax.Array, where: jax.Array | None, *, training: bool
) -> tuple[jax.Array, tuple]:
    """Scores ``[C, B]`` and batch statistics, if training; else the running statistics are used and returned."""
    signs = [sign(w) for w in trained.latent]
    depth = len(model.layers) + 1
    norms = trained.norms or (None,) * depth
    # While training, the running statistics are not read.
    frozen = (None,) * depth if training or not trained.norms else variables.statistics
    rest, start = signs, 0
    seen = []
    if model.recurrent:
        ones = _floats(jnp.moveaxis(x, 1, 0), model.num_inputs)  # [T, B, K]
        projected = lax.dot_general(ones, signs[0], (((2,), (1,)), ((), ())))
        state, statistics = _recur(signs[1], projected, variables.scales[0], norms[0], frozen[0], where)
        activations, rest, start = state.T, signs[2:], 1
        seen.append(statistics)
    else:
        activations = _floats(x, model.num_inputs).T
    for i, weights in enumerate(rest, start):
        layer = None if i == depth - 1 else model.layers[i]
        tied = layer if isinstance(layer, Convolution) else None
        below = activations
        z = weights @ below if tied is None else _convolve(tied, weights, below[: tied.grid.num_bits])  # [N, M * B]
        z = z * variables.scales[i]
        statistics, norm = None, norms[i]
        if norm is not None:
            everywhere = where if tied is None or where is None else jnp.tile(where, tied.positions())
            normalised, statistics = _normalise(z.T, norm, frozen[i], everywhere)
            z = normalised.T
        activations = z if layer is None else sign(z)
        if tied is not None:  # position by position: [M * N, B]
            activations = jnp.moveaxis(activations.reshape(tied.width, tied.positions(), -1), 0, 1)
            activations = activations.reshape(-1, below.shape[1])
            activations = jnp.concatenate([activations, below[tied.grid.num_bits :]])  # what goes past
        seen.append(statistics)
    return activations, tuple(seen) if trained.norms else ()


def _convolve(layer: Convolution, weights: jax.Array, activations: jax.Array) -> jax.Array:
    """Pre-activations ``[N, M * B]`` at every patch of ``activations [K, B]``; -1 around the image."""
    grid = layer.grid
    images = activations.reshape(*layer.image_shape, layer.channels, -1)
    images = jnp.pad(images, [*((p, p) for p in layer.padding), (0, 0), (0, 0)], constant_values=-1.0)
    # A dot of patches: lax.conv_general_dilated takes as long on its own, but on a CPU three times as long in a scan.
    pixels = jnp.stack([grid.at(images, offset) for offset in grid.offsets])  # [patch, *counts, C, B]
    return weights @ jnp.moveaxis(pixels, -2, 1).reshape(grid.fan_in, -1)


@jax.custom_vjp
def _recur(
    weights: jax.Array,
    projected: jax.Array,
    scale: jax.Array,
    norm: Norm | None,
    frozen: Statistics | None,
    where: jax.Array | None,
) -> tuple[jax.Array, Statistics | None]:
    """The last state of s_t = sign(norm_t(scale (x_t + W s_{t-1}))), s_0 = +1, and statistics ``[T, N]``.

    ``weights [N, N]``, ``projected [T, B, N]``, ``frozen`` running statistics ``[T, N]`` or None.
    """
    last, (_, statistics) = _unroll(weights, projected, scale, norm, frozen, where)
    return last, statistics


def _recur_forward(
    weights: jax.Array,
    projected: jax.Array,
    scale: jax.Array,
    norm: Norm | None,
    frozen: Statistics | None,
    where: jax.Array | None,
) -> tuple[tuple, tuple]:
    def run(projected: jax.Array, norm: Norm | None) -> tuple:
        return _unroll(weights, projected, scale, norm, frozen, where)

    last: jax.Array
    kept: tuple[jax.Array, Statistics | None]
    last, pull_back, kept = jax.vjp(run, projected, norm, has_aux=True)
    states, statistics = kept
    return (last, statistics), (pull_back, states)


def _recur_backward(residuals: tuple, cotangents: tuple) -> tuple:
    pull_back, states = residuals
    projected, norm = pull_back(cotangents[0])
    # The gradient at x_t is the gradient at W s_{t-1}: one product over time and batch, not one a step.
    width = states.shape[-1]
    weights = lax.dot_general(projected.reshape(-1, width), states.reshape(-1, width), (((0,), (0,)), ((), ())))
    return weights, projected, None, norm, None, None


_recur.defvjp(_recur_forward, _recur_backward)


def _unroll(
    weights: jax.Array,
    projected: jax.Array,
    scale: jax.Array,
    norm: Norm | None,
    frozen: Statistics | None,
    where: jax.Array | None,
) -> tuple[jax.Array, tuple[jax.Array, Statistics | None]]:
    def advance(state: jax.Array, inputs: tuple) -> tuple:
        x, frozen = inputs
        z = (x + lax.dot_general(state, weights, (((1,), (1,)), ((), ())))) * scale
        statistics = None
        if norm is not None:
            z, statistics = _normalise(z, norm, frozen, where)
        return sign(z), (state, statistics)

    return lax.scan(advance, jnp.ones(projected.shape[1:], jnp.float32), (projected, frozen))


def _normalise(
    z: jax.Array, norm: Norm, frozen: Statistics | None, where: jax.Array | None
) -> tuple[jax.Array, Statistics]:
    """Batch normalisation of ``z [B, N]``, by ``frozen`` statistics or the batch's own; with the statistics used."""
    if frozen is None:
        mean = batch_mean(z, where, axis=0)
        frozen = Statistics(mean, batch_mean(jnp.square(z - mean[None, :]), where, axis=0))
    gain = norm.gain * lax.rsqrt(frozen.variance + _EPSILON)
    return (z - frozen.mean[None, :]) * gain[None, :] + norm.shift[None, :], frozen


def batch_mean(values: jax.Array, where: jax.Array | None, axis: int) -> jax.Array:
    """The mean over the batch, which is ``axis``, of the samples that take part; 0 if none does."""
    if where is None:
        return jnp.mean(values, axis=axis)
    mask = where.reshape(where.shape + (1,) * (values.ndim - 1))
    count = jnp.maximum(jnp.sum(where, dtype=jnp.int32), 1).astype(jnp.float32)
    return jnp.sum(jnp.where(mask, values, 0.0), axis=axis) / count


def _floats(words: jax.Array, num_bits: int) -> jax.Array:
    """Words ``[..., W]`` to ±1 float32 ``[..., K]``."""
    return jnp.where(bits.unpack(words, num_bits=num_bits) > 0, jnp.float32(1), jnp.float32(-1))


def check(who: str, model: Model, variables: Variables, x: jax.Array) -> None:
    check_model(who, model)
    check_type(variables, Variables, "variables", who)
    means = [np.shape(leaf) for leaf in jax.tree.leaves(variables.statistics)[:1]]
    norm, steps = bool(means), means[0][0] if means and len(means[0]) == 2 else 1  # what they were made for
    check_as_made(who, "variables", variables, _made(model, norm, steps))
    check_words(who, model, x)
    if model.recurrent and norm and steps != x.shape[1]:
        raise ValueError(f"{who}: batch normalisation was made for num_steps={steps}, x has {x.shape[1]} time steps.")


def check_as_made(who: str, name: str, given: Any, wanted: Any) -> None:
    """Raises a TypeError or ValueError where a tree is not built, or its arrays are not shaped, like another."""
    wrong = f"{who}: {name} do not fit the model:"
    if jax.tree.structure(given) != jax.tree.structure(wanted):  # type: ignore[operator]
        raise ValueError(f"{wrong} wanted them as init makes them, got another {type(given).__name__}.")
    for (path, shape), leaf in zip(jax.tree.leaves_with_path(wanted), jax.tree.leaves(given), strict=True):
        part = f"{name}{jax.tree_util.keystr(path)}"
        check_array(leaf, part, who)
        if leaf.shape != shape.shape or leaf.dtype != shape.dtype:
            raise ValueError(f"{wrong} {part} must be {shape.dtype} {shape.shape}, got {leaf.dtype} {leaf.shape}.")


@functools.lru_cache(maxsize=32)
def _made(model: Model, batch_norm: bool, num_steps: int) -> Variables:
    """What `init` makes, as shapes."""
    make = functools.partial(init, model=model, batch_norm=batch_norm, num_steps=num_steps)
    return jax.eval_shape(make, jax.random.key(0))
