"""Hyper-parameters of the learning rule, and the integers that they mean for a model.

A `Rule` is what a person writes: fractions and counts. `thresholds` turns it, on the host and in float64, into a
`Limits`: integers only, so that the training step holds no float, and arrays, so that jit takes them as an argument
and vmap maps over them.

Axis letters: L layers, M matrices, S seeds.
Source: arXiv 2512.04189, Eq. 1 (margin), 6 (gate), Sections 3.3 (groups) and 3.4 (reinforcement).
"""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export

from bep_jax.kernels.checks import check_real, check_type, shown
from bep_jax.kernels.host import to_host
from bep_jax.kernels.isolate import tracing
from bep_jax.learning.laws import divisors, may_be_usual, usual_gates, usual_group_sizes
from bep_jax.network.model import Model

# Keeps decimals such as 0.29 * 100 = 28.999999999999996 on the side of the integer that was meant.
_GUARD = 1e-9
_AXES = {"margin": 0, "gate": 1, "group_size": 1, "band": 1, "base": 2, "draw": 1, "saturation": 0}  # of one network
_SATURATION = tuple(2 ** (bits - 1) - 1 for bits in range(8, 17))


@jax.tree_util.register_static
@dataclass(frozen=True)
class Rule:
    """Hyper-parameters of Binary Error Propagation.

    Args:
      margin: r in (0, 1]; a sample learns while its margin is below r times the last layer's width.
      gate: ν >= 0; a neuron passes its desired activation down while |z| is at most ν times its fan-in K; None for
        1 / √K, in networks of three layers and more up to about twice that, in a recurrent cell 2 / √K, directly above
        convolutions twice as much.
      group_size: γ, neurons of which at most one learns per sample; one for all layers or one a layer (rnn: state,
        output). It must divide each width. None for about 0.3 √N groups, in a recurrent cell 1.4 √N,
        above convolutions 0.9 √N.
      reinforcement: p_r in [0, 1]; how often a weight is pushed away from zero, before scaling by fan-in and error.
      bits: B in 8..16, of the hidden weights, which saturate at ±(2^(B-1) - 1).
      band: of layers that learn by band: a neuron learns while |z| is below so many times √K, right or wrong.

    Raises:
      TypeError: a value has the wrong type.
      ValueError: a value is out of range.

    Example:
      >>> Rule(margin=0.25, group_size=(15, 35)).bits
      16
    """

    margin: float = 0.5
    gate: float | None = None
    group_size: int | tuple[int, ...] | None = None
    reinforcement: float = 0.5
    bits: int = 16
    band: float = 0.5

    def __post_init__(self) -> None:
        sizes: Any = self.group_size
        if (
            isinstance(sizes, Iterable)
            and not isinstance(sizes, str | bytes)
            and len(getattr(sizes, "shape", "1")) == 1
        ):
            object.__setattr__(self, "group_size", tuple(_integer("group_size", g) for g in sizes))
        elif sizes is not None:
            object.__setattr__(self, "group_size", _integer("group_size", sizes))
        object.__setattr__(self, "bits", _integer("bits", self.bits))
        for name in ("margin", "gate", "reinforcement", "band"):
            if name != "gate" or self.gate is not None:
                object.__setattr__(self, name, check_real(getattr(self, name), name, "Rule"))
        if not 0 < self.margin <= 1:
            raise ValueError(f"Rule: margin must be in (0, 1], got {self.margin}.")
        for name in ("gate", "band"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"Rule: {name} must be at least 0 and finite, got {value}.")
        if not 0 <= self.reinforcement <= 1:
            raise ValueError(f"Rule: reinforcement must be in [0, 1], got {self.reinforcement}.")
        if not 8 <= self.bits <= 16:
            raise ValueError(f"Rule: bits must be in 8..16, got {self.bits}.")
        sizes = self.group_size if isinstance(self.group_size, tuple) else (self.group_size,)
        if sizes != (None,) and min(sizes, default=0) < 1:
            raise ValueError(f"Rule: group_size must be at least 1 everywhere, got {self.group_size}.")


class Limits(NamedTuple):
    """The integers that a rule means for a model; made by `thresholds`."""

    margin: jax.Array  # int32 [], or [C], one a class; a sample is active while its margin is below
    gate: jax.Array  # int32 [L]; a neuron is open while |z| is at most
    group_size: jax.Array  # int32 [L]
    band: jax.Array  # int32 [L]; where a layer learns by band, a neuron does while |z| is below
    base: jax.Array  # uint32 [M, 2]; p_r sqrt(2 / (π K)) per matrix, the two words of a float64
    draw: jax.Array  # uint32 [M]; a weight is reinforced when 32 random bits are below, at error rate 1
    saturation: jax.Array  # int32 []; |h| is at most


export.register_namedtuple_serialization(Limits, serialized_name="bep_jax.Limits")


def thresholds(model: Model, rule: Rule) -> Limits:
    """The integers that a rule means for a model.

    margin ceil(r K_L), gate floor(ν K) with K the layer's fan-in (recurrent: the state's width), band floor(b √K),
    reinforcement min(floor(2^32 p), 2^32 - 1), computed in float64 with a guard against decimals such as 0.29 * 100.

    Args:
      model: a `Model`.
      rule: a `Rule`.

    Returns:
      `Limits`, a pytree of integer arrays. Stack several with ``jax.tree.map(lambda *a: jnp.stack(a), *limits)`` and
      vmap over them to sweep hyper-parameters in one program.

    Raises:
      TypeError: the arguments are not a Model and a Rule.
      ValueError: a group size does not divide its layer's width, or there is not one for each layer.

    Example:
      >>> from bep_jax.network.model import mlp
      >>> limits = thresholds(mlp(num_inputs=100, widths=(30,), num_classes=2), Rule(gate=0.29))
      >>> limits.margin, limits.gate
      (Array(15, dtype=int32), Array([29], dtype=int32))
    """
    if not isinstance(model, Model):
        raise TypeError(f"thresholds: wanted a Model, from bep.mlp or bep.rnn, got {type(model).__name__}.")
    if not isinstance(rule, Rule):
        raise TypeError(
            f"thresholds: wanted a Rule, got {type(rule).__name__}; a sweep is thresholds of several rules, stacked."
        )
    if rule.group_size is None:
        sizes = usual_group_sizes(model)
    else:
        sizes = rule.group_size if isinstance(rule.group_size, tuple) else (rule.group_size,) * len(model.layers)
    if len(sizes) != len(model.layers):
        raise ValueError(f"thresholds: group_size={sizes} needs one entry for each of {len(model.layers)} layers.")
    # Where a layer learns by band there are no groups: one of the whole layer, which never grows.
    by_band = [layer.learns == "band" for layer in model.layers]
    sizes = tuple(w if band else s for w, s, band in zip(model.widths, sizes, by_band, strict=True))
    for width, size in zip(model.widths, sizes, strict=True):
        if rule.group_size is not None and width % size:
            raise ValueError(
                f"thresholds: group_size={rule.group_size} must divide every width, got {model.widths}. The "
                f"divisors of {width} are {', '.join(map(str, divisors(width)))}."
            )
    most = 2**31 - 1
    if rule.gate is None:
        gates = usual_gates(model)
    else:
        gates = tuple(min(math.floor(rule.gate * layer.gate_fan_in + _GUARD), most) for layer in model.layers)
    bands = [min(math.floor(rule.band * math.sqrt(layer.gate_fan_in) + _GUARD), most) for layer in model.layers]
    base = reinforcement_base(rule, model.matrix_shapes)
    return Limits(
        margin=np_to_jax(math.ceil(rule.margin * model.num_outputs - _GUARD), np.int32),
        gate=np_to_jax(gates, np.int32),
        group_size=np_to_jax(sizes, np.int32),
        band=np_to_jax(bands, np.int32),
        base=np_to_jax(base, np.uint32),
        draw=np_to_jax(draw_thresholds(base, 1.0), np.uint32),
        saturation=np_to_jax(2 ** (rule.bits - 1) - 1, np.int32),
    )


def np_to_jax(value, dtype) -> jax.Array:
    """A device array of exactly this dtype."""
    return jax.numpy.asarray(np.asarray(value, dtype))


def limits_of(model: Model, rule: Rule | Limits) -> Limits:
    """`thresholds` of a rule; limits as they are, where a rule can mean them for this model.

    Raises:
      TypeError: limits of another dtype.
      ValueError: limits of another model, or that no rule means.
    """
    if not isinstance(rule, Limits):
        if tracing() or not (isinstance(model, Model) and isinstance(rule, Rule)):
            return thresholds(model, rule)
        return _known_thresholds(model, rule, jax.sharding.get_abstract_mesh())
    check_type(model, Model, "the model", "limits")
    layers, matrices = len(model.layers), len(model.matrix_shapes)
    check_limits(rule, "limits")
    # A leading axis is `fit`'s to map over; elsewhere the checks of shapes below catch it.
    for name, shape in (("gate", (layers,)), ("group_size", (layers,)), ("band", (layers,)), ("draw", (matrices,))):
        found = np.shape(getattr(rule, name))
        if found[-1:] != shape:
            raise ValueError(f"limits: {name} must be of shape {shape}, as the model has so many, got {found}.")
    if isinstance(rule.group_size, jax.core.Tracer) or isinstance(rule.margin, jax.core.Tracer):
        return rule
    sizes, margin = np.asarray(rule.group_size), np.asarray(rule.margin)
    for i, layer in enumerate(model.layers):
        for size in sizes[..., i].ravel().tolist():
            if size < 1 or (layer.width % size and not may_be_usual(layer, size)):
                raise ValueError(
                    f"limits: group_size must divide the width {layer.width} of layer {i + 1}, got {size}."
                )
    if np.any(margin < 1) or np.any(margin > model.num_outputs):
        raise ValueError(f"limits: margin must be in 1..{model.num_outputs}, the last width, got {margin.tolist()}.")
    return rule


@functools.lru_cache(maxsize=64)
def _known_thresholds(model: Model, rule: Rule, mesh: Any) -> Limits:
    """While something is traced, arrays may belong to the trace; and always to the mesh that is set."""
    return thresholds(model, rule)


def check_limits(limits: Limits, who: str) -> None:
    """Raises TypeError or ValueError, naming ``who``, for limits that no rule means for any model."""
    for name, dtype in zip(
        Limits._fields, ("int32", "int32", "int32", "int32", "uint32", "uint32", "int32"), strict=True
    ):
        found = getattr(getattr(limits, name), "dtype", type(getattr(limits, name)).__name__)
        if found != dtype:
            raise TypeError(f"{who}: {name} must be {dtype}, got {found}; limits come from bep.thresholds.")
    if limits.base.shape[-2:] != (*limits.draw.shape[-1:], 2):
        raise ValueError(f"{who}: base {limits.base.shape} and draw {limits.draw.shape} are for other matrices.")
    lead = limits.base.shape[:-2]
    for name in Limits._fields:
        shape = getattr(limits, name).shape
        found = shape[: len(shape) - _AXES[name]] if len(shape) >= _AXES[name] else None
        # A margin may be one of each class.
        if found != lead and not (name == "margin" and found is not None and found[:-1] == lead):
            raise ValueError(f"{who}: {name} {shape} has another leading axis than base {limits.base.shape}.")
    if any(isinstance(a, jax.core.Tracer) for a in limits):
        return
    check_draws(limits, who)
    for name in ("gate", "band"):
        values = np.asarray(getattr(limits, name))
        if np.any(values < 0):
            raise ValueError(f"{who}: {name} must be at least 0, got {values.tolist()}.")


def check_draws(state: Any, who: str) -> None:
    """Raises a ValueError, naming ``who``, for a saturation and base, of limits or a state, that no rule means."""
    saturation, base = to_host((state.saturation, state.base))  # which may be spread over processes
    p = np.ascontiguousarray(base).view(np.float64)
    if not np.all(np.isin(saturation, _SATURATION)):
        raise ValueError(
            f"{who}: saturation must be among {', '.join(map(str, _SATURATION))}, got {saturation.tolist()}."
        )
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"{who}: base must hold the words of float64 numbers in [0, 1], got {p.ravel().tolist()}.")


def reinforcement_base(rule: Rule, matrix_shapes: Sequence[tuple[int, int]]) -> np.ndarray:
    """p_r sqrt(2 / (π K)) of each matrix ``(N, K)``: float64 held as uint32 ``[M, 2]``."""
    base = [rule.reinforcement * math.sqrt(2 / (math.pi * fan_in)) for _, fan_in in matrix_shapes]
    # As words, so that a state without 64-bit types and a traced step without floats can carry it exactly.
    return np.asarray(base, np.float64).view(np.uint32).reshape(-1, 2)


def draw_thresholds(base: np.ndarray, error_rate: np.ndarray | float) -> np.ndarray:
    """min(floor(2^32 p), 2^32 - 1) with p = base * sqrt(E).

    Args:
      base: uint32 ``[..., M, 2]`` from :func:`reinforcement_base`.
      error_rate: E in [0, 1], a scalar or ``[...]``.

    Returns:
      uint32 ``[..., M]``.
    """
    base = np.ascontiguousarray(base, np.uint32).view(np.float64)[..., 0]
    p = base * np.sqrt(np.asarray(error_rate, np.float64))[..., None]
    return np.minimum(np.floor(p * 2.0**32), 2.0**32 - 1).astype(np.uint32)


def next_group_size(width: int, group_size: int) -> int:
    """The next larger divisor of ``width``; ``width`` itself is the last.

    Example:
      >>> [next_group_size(525, g) for g in (15, 21, 525)]
      [21, 25, 525]
    """
    return next((g for g in divisors(width) if g > group_size), width)


def _integer(name: str, value) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"Rule: {name} must be an integer, got {shown(value)}.")
    return int(value)
