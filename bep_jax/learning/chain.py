"""The binary chain rule: what `jax.value_and_grad` is to a float network, `updates` is to a binary one.

    forward -> residuals     logits -> trigger, targets     backward through residuals -> integer updates

Every function is pure and integer-only. Users hold batches first: inputs ``[B, W]`` (recurrent ``[B, T, W]``),
packed along the features. The kernels hold batches last; the word transposes between the two are here.

Axis letters: B batch, T time steps, H kept time steps, K inputs, N neurons, C classes, L layers, W words.
Source: arXiv 2512.04189, Section 3.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

from bep_jax.kernels import bits, products
from bep_jax.kernels.checks import check_array, is_integer
from bep_jax.kernels.isolate import isolated, jit
from bep_jax.kernels.popcounts import VECTOR
from bep_jax.kernels.seeds import one_by_one, over_seeds
from bep_jax.learning.rule import Limits, Rule, limits_of
from bep_jax.network import dense
from bep_jax.network.layers.layer import Operands, Residuals, Signals, check_residuals
from bep_jax.network.model import Model, Params, check_params
from bep_jax.network.visible import Visible, check_visible

_NEVER = jnp.iinfo(jnp.int32).min
_PACKED = "packed uint32 words, from bits.pack or an encoder"

# Samples whose integers between the kernels, pre-activations above all, a CPU core's cache still holds; what lasts
# until the update are words. Measured by `python -m benchmarks scaling`.
_PART = 256


class Stats(NamedTuple):
    """Counts over a batch."""

    active: jax.Array  # int32 [], samples that the trigger let learn
    correct: jax.Array  # int32 [], samples that were classified correctly before the update
    winners: jax.Array  # int32 [L], neurons of each layer that learned, summed over samples


export.register_namedtuple_serialization(Stats, serialized_name="bep_jax.Stats")


class NetworkSignals(NamedTuple):
    """What the backward pass brings to every layer, batch first and packed along the neurons."""

    active: jax.Array  # bool [B]
    layers: tuple[Signals, ...]  # per layer desired, gates [B, Wn] (recurrent [B, H, Wn]) and winners [B, Wn]


def logits(model: Model, params: Params | Visible, x: jax.Array) -> jax.Array:
    """Class scores ŷ = P a_L.

    Args:
      model: a `Model`.
      params: its `Params`, or what `bep_jax.visible` made of them: the same scores, sooner, since weights are packed
        already. Visible weights may have a leading seed axis ``[S]``.
      x: uint32 ``[B, W]``, recurrent ``[B, T, W]``; packed input bits.

    Returns:
      int32 ``[B, C]``, of several networks ``[S, B, C]``; the prediction is the argmax, the first on ties.

    Raises:
      TypeError: ``x`` is not uint32 or ``params`` does not hold int16 and uint32.
      ValueError: shapes do not fit the model, or concrete padding bits are set.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(15,), num_classes=2)
      >>> bep.logits(model, model.init(jax.random.key(0)), bep.bits.pack(jnp.ones((3, 6), bool))).shape
      (3, 2)
    """
    check_inputs("logits", model, params, x, visible=True)
    return _logits(model, params, x)


def forward(model: Model, params: Params | Visible, x: jax.Array) -> tuple[jax.Array, tuple[Residuals, ...]]:
    """Class scores, and what the backward pass needs (Eq. 2).

    Args:
      model: a `Model`.
      params: its `Params`, or what `bep_jax.visible` made of them.
      x: uint32 ``[B, W]``, recurrent ``[B, T, W]``; packed input bits.

    Returns:
      int32 ``[B, C]`` scores and per layer `Residuals`, which keep the kernels' layout: batch last.

    Raises:
      TypeError, ValueError: as `logits`.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(15,), num_classes=2)
      >>> x = bep.bits.pack(jnp.ones((3, 6), bool))
      >>> _, residuals = bep.forward(model, model.init(jax.random.key(0)), x)
      >>> residuals[0].preactivations.shape
      (15, 3)
    """
    check_inputs("forward", model, params, x, visible=True)
    return _scores(model, params, x)


def backward(
    model: Model,
    rule: Rule | Limits,
    params: Params,
    residuals: tuple[Residuals, ...],
    logits: jax.Array,
    y: jax.Array,
    where: jax.Array | None = None,
) -> NetworkSignals:
    """Trigger, desired activations, gates and winner masks (Eq. 1, 5 to 7, Section 3.3).

    Args:
      model: a `Model`.
      rule: a `Rule`, or the `Limits` that it means for this model.
      params: the `Params` that `forward` was given.
      residuals: from `forward`.
      logits: int32 ``[B, C]`` from `forward`.
      y: integer ``[B]``, labels in 0..C-1; a sample with a label outside is inactive under jit.
      where: bool ``[B]``; False takes no part.

    Returns:
      `NetworkSignals`, words packed along the neurons: unpack with ``bits.unpack(..., num_bits=width)``.

    Raises:
      TypeError, ValueError: labels or ``where`` do not fit, or concrete labels are out of range.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(15,), num_classes=2)
      >>> params, x = model.init(jax.random.key(0)), bep.bits.pack(jnp.ones((3, 6), bool))
      >>> scores, residuals = bep.forward(model, params, x)
      >>> signals = bep.backward(model, bep.Rule(), params, residuals, scores, jnp.array([0, 1, 1]))
      >>> bep.bits.unpack(signals.layers[0].desired, num_bits=15).shape
      (3, 15)
    """
    check_model("backward", model)
    check_weights("backward", model, params)
    check_residuals("backward", residuals, len(model.layers))
    check_array(logits, "logits", "backward")
    batch = residuals[-1].preactivations.shape[-1]
    if logits.shape != (batch, model.num_classes) or logits.dtype != jnp.int32:
        raise ValueError(
            f"backward: logits must be int32 ({batch}, {model.num_classes}), from forward, got {logits.dtype} "
            f"{logits.shape}."
        )
    check_labels("backward", model, batch, y, where)
    return _signals(model, limits_of(model, rule), params, residuals, logits, y, where)


def updates(
    model: Model, rule: Rule | Limits, params: Params, x: jax.Array, y: jax.Array, where: jax.Array | None = None
) -> tuple[tuple[jax.Array, ...], Stats]:
    """Integer updates of the hidden weights for one mini-batch: steps 1 to 5 (Eq. 1 to 9).

    What `jax.grad` is to a float network; feed the result to `optimizer` or any optax chain that ends in it.

    Args:
      model: a `Model`.
      rule: a `Rule`, or the `Limits` that it means for this model.
      params: its `Params`.
      x: uint32 ``[B, W]``, recurrent ``[B, T, W]``; packed input bits.
      y: integer ``[B]``, labels in 0..C-1; a sample with a label outside is inactive under jit.
      where: bool ``[B]``; False takes no part, as in a last batch that is not full.

    Returns:
      Per matrix int32 ``[N, K]``, 2 Σ (M ⊙ a*) aᵀ, and `Stats`.

    Raises:
      TypeError, ValueError: as `logits`; concrete labels out of range; ``where`` not bool ``[B]``.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(15,), num_classes=2)
      >>> params, x = model.init(jax.random.key(0)), bep.bits.pack(jnp.ones((3, 6), bool))
      >>> deltas, stats = bep.updates(model, bep.Rule(), params, x, jnp.array([0, 1, 1]))
      >>> deltas[0].shape, deltas[0].dtype
      ((15, 6), dtype('int32'))
    """
    check_batch("updates", model, params, x, y, where)
    return _updates(model, limits_of(model, rule), params, x, y, where)


def update_operands(
    model: Model, limits: Limits, params: Params, x: jax.Array, y: jax.Array, where: jax.Array | None = None
) -> tuple[tuple[Operands, ...], Stats]:
    """`updates` before its last product: per matrix the packed `Operands`, and `Stats`. Checks nothing."""
    batch = (x, _labels(model, y), where)
    operands_of = one_by_one(functools.partial(_operands, model))
    parts = _parts(x.shape[0])
    if parts == 1:
        return operands_of(limits, params, *_padded(*batch, VECTOR))
    batch = jax.tree.map(lambda a: a.reshape(parts, -1, *a.shape[1:]), _padded(*batch, parts * bits.WORD_BITS))
    pieces, stats = lax.map(lambda part: operands_of(limits, params, *part), batch)

    def rows(words):  # [parts, N, Wb] -> [N, parts * Wb]
        return jnp.moveaxis(words, 0, 1).reshape(words.shape[1], -1)

    operands = tuple(
        Operands(rows(p.winners), rows(p.desired), p.inputs.reshape(-1, p.inputs.shape[-1])) for p in pieces
    )
    return operands, jax.tree.map(lambda s: jnp.sum(s, axis=0, dtype=s.dtype), stats)


# Called outside of any jit, each public function is one program, with the options that make its kernels fastest.


@jit(inline=True)
def _logits(model, params, x):
    def scores(params):
        return _forward(model, params, x)[0].T

    return over_seeds(scores, (0,))(params) if params.classifier.ndim == 3 else scores(params)


@jit(inline=True)
def _scores(model, params, x):
    scores, residuals = _forward(model, params, x)
    return scores.T, residuals


@jit(inline=True)
def _signals(model, limits, params, residuals, logits, y, where):
    active, layers = _backward(model, limits, params, residuals, logits.T, _labels(model, y), where)
    return NetworkSignals(active, jax.tree.map(lambda words: jnp.moveaxis(words, -1, 0), layers))


@jit(inline=True)
def _updates(model, limits, params, x, y, where):
    operands, stats = update_operands(model, limits, params, x, y, where)
    return tuple(2 * products.outer(*o) for o in operands), stats


def _operands(model, limits, params, x, y, where) -> tuple[tuple[Operands, ...], Stats]:
    scores, residuals = _forward(model, params, x)
    active, layers = _backward(model, limits, params, residuals, scores, y, where)
    operands = tuple(
        operand
        for layer, kept, signals in zip(model.layers, residuals, layers, strict=True)
        for operand in layer.operands(kept, signals)
    )
    correct = lax.argmax(scores, 0, jnp.int32) == y
    return operands, Stats(
        active=jnp.sum(active, dtype=jnp.int32),
        correct=jnp.sum(correct if where is None else correct & where, dtype=jnp.int32),
        winners=jnp.stack([jnp.sum(lax.population_count(s.winners), dtype=jnp.int32) for s in layers]),
    )


def _labels(model: Model, y: jax.Array) -> jax.Array:
    """Labels as int32; one out of range becomes -1 whatever its type, which no class is."""
    y = y if y.dtype.itemsize >= 4 else y.astype(jnp.int32)
    known = (y >= 0) & (y < model.num_classes)
    return jnp.where(known, y, jnp.zeros_like(y)).astype(jnp.int32) - (~known).astype(jnp.int32)


def _parts(batch: int) -> int:
    """How many parts of about `_PART` samples a batch is worked through in; an accelerator takes it whole."""
    return max(1, round(batch / _PART)) if jax.default_backend() == "cpu" else 1


def _padded(x: jax.Array, y: jax.Array, where: jax.Array | None, multiple: int):
    """Pads the batch with samples that take no part."""
    batch = x.shape[0]
    padding = -batch % multiple
    if not padding:
        return x, y, where
    where = jnp.ones(batch, bool) if where is None else where
    return tuple(jnp.pad(a, ((0, padding),) + ((0, 0),) * (a.ndim - 1)) for a in (x, y, where))


def _forward(model: Model, params: Params | Visible, x: jax.Array) -> tuple[jax.Array, tuple[Residuals, ...]]:
    """Scores ``[C, B]`` and residuals."""
    activations, residuals = jnp.moveaxis(x, 0, -1), []
    hidden: Sequence[Any] = params.hidden
    if isinstance(params, Visible):
        hidden = [dense.Packed(w, shape) for w, shape in zip(hidden, model.matrix_shapes, strict=True)]
    for layer, own in zip(model.layers, model.split(hidden), strict=True):
        activations, kept = layer.forward(own, activations)
        residuals.append(kept)
    if isinstance(params, Visible):
        sizes = {"neurons": model.num_classes, "num_inputs": model.num_outputs}
        return products.forward_by_words(params.classifier, activations, **sizes), tuple(residuals)
    return products.forward(params.classifier, activations, model.num_outputs), tuple(residuals)


def _backward(model, limits, params, residuals, scores, y, where) -> tuple[jax.Array, tuple[Signals, ...]]:
    """Active samples ``[B]`` and the signals of each layer, in the kernels' layout; ``scores [C, B]``."""
    active, desired = _targets(scores, params.classifier, y, limits.margin)
    active = active if where is None else active & where
    signals: list[Signals] = []
    hidden = model.split(params.hidden)
    for i in reversed(range(len(model.layers))):
        layer = model.layers[i]
        selection = limits.band[i] if layer.learns == "band" else limits.group_size[i]
        args = (active, limits.gate[i], selection)
        signals.insert(0, layer.signals(hidden[i], residuals[i], desired, *args))
        if i > 0:
            desired = layer.desired_input(hidden[i], signals[0])
    return active, tuple(signals)


@isolated
def _targets(scores: jax.Array, classifier: jax.Array, y: jax.Array, margin: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Trigger ``[B]`` (Eq. 1) and the class vectors that the last layer should show ``[W, B]``."""
    num_classes = scores.shape[0]
    own_class = jnp.arange(num_classes, dtype=jnp.int32)[:, None] == y[None, :]
    own = jnp.sum(jnp.where(own_class, scores, 0), axis=0, dtype=jnp.int32)
    rival = jnp.max(jnp.where(own_class, _NEVER, scores), axis=0)
    known, label = (y >= 0) & (y < num_classes), jnp.clip(y, 0, num_classes - 1)
    return known & (own - rival < (margin[label] if margin.ndim else margin)), classifier[label].T


def check_model(who: str, model: Model) -> None:
    """Raises a TypeError, naming ``who``, if this is no model."""
    if not isinstance(model, Model):
        raise TypeError(f"{who}: wanted a Model, from bep.mlp or bep.rnn, got {type(model).__name__}.")


def check_inputs(who: str, model: Model, params: Params | Visible, x: jax.Array, *, visible: bool = False) -> None:
    """Raises a TypeError or ValueError, naming ``who``, if params or inputs do not fit the model."""
    check_model(who, model)
    check_array(x, "x", who, _PACKED)
    if visible and isinstance(params, Visible):
        check_visible(who, model, params)
        check_words(who, model, x)
        return
    check_weights(who, model, params)
    check_words(who, model, x)


def check_weights(who: str, model: Model, params: Any) -> None:
    """Raises a TypeError or ValueError, naming ``who``, if these are not the model's `Params`, of one seed."""
    check_params(params, who)
    if len(params.hidden) != len(model.matrix_shapes):
        raise ValueError(f"{who}: the model has {len(model.matrix_shapes)} matrices, params {len(params.hidden)}.")
    wanted = [(shape, "int16") for shape in model.matrix_shapes]
    wanted.append(((model.num_classes, bits.num_words(model.num_outputs)), "uint32"))
    for (shape, dtype), a in zip(wanted, (*params.hidden, params.classifier), strict=True):
        if a.shape != shape:
            hint = "; of one seed: jax.tree.map(lambda a: a[0], params)" if a.shape[1:] == shape else ""
            raise ValueError(f"{who}: params do not fit the model: wanted shape {shape}, got {a.shape}{hint}.")
        if a.dtype != dtype:
            raise TypeError(f"{who}: params of shape {shape} must be {dtype}, got {a.dtype}.")
    bits.check_padding(params.classifier, model.num_outputs, f"{who}: params.classifier")


def check_batch(who: str, model: Model, params: Params, x: jax.Array, y: jax.Array, where: jax.Array | None) -> None:
    """`check_inputs` and `check_labels`."""
    check_inputs(who, model, params, x)
    check_labels(who, model, x.shape[0], y, where)


def check_words(who: str, model: Model, x: jax.Array) -> None:
    """Raises a TypeError or ValueError, naming ``who``, if these are not the model's packed inputs."""
    if getattr(x, "dtype", None) != jnp.uint32:
        raise TypeError(f"{who}: x must be {_PACKED}, got {getattr(x, 'dtype', type(x).__name__)}.")
    axes = "[B, T, W]" if model.recurrent else "[B, W]"
    words = bits.num_words(model.num_inputs)
    if x.ndim != (3 if model.recurrent else 2) or x.shape[-1] != words:
        raise ValueError(f"{who}: x must be {axes} with W = {words} words of {model.num_inputs} bits, got {x.shape}.")
    if 0 in x.shape:
        raise ValueError(f"{who}: x is empty, got shape {x.shape}.")
    bits.check_padding(x, model.num_inputs, who)


def check_labels(who: str, model: Model, batch: int, y: jax.Array, where: jax.Array | None) -> None:
    """Raises a TypeError or ValueError, naming ``who``, if labels do not fit."""
    check_array(y, "y", who, "an array of integer labels")
    if not is_integer(y.dtype):
        raise TypeError(f"{who}: y must be an array of integer labels, got {y.dtype}.")
    if y.shape != (batch,):
        raise ValueError(f"{who}: y must be [B] = ({batch},) like x, got {y.shape}.")
    if not isinstance(y, jax.core.Tracer):
        # As Python integers: a narrow type would wrap the number of classes. By way of NumPy: while something else is
        # traced, the minimum of a constant `jax.Array` would be traced too.
        values = np.asarray(y)
        least, most = int(values.min()), int(values.max())
        if least < 0 or most >= model.num_classes:
            raise ValueError(f"{who}: labels must be in 0..{model.num_classes - 1}, got {least}..{most}.")
    if where is not None and (str(getattr(where, "dtype", "")) != "bool" or where.shape != (batch,) or _masked(where)):
        got = f"{where.dtype} {where.shape}" if hasattr(where, "dtype") else type(where).__name__
        raise ValueError(f"{who}: where must be bool [B] = ({batch},), got {got}.")


def _masked(array: Any) -> bool:
    return isinstance(array, np.ma.MaskedArray)
