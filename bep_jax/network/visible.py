"""Visible weights, packed once, for networks that learn no more.

Training packs the signs of its integers in every step, since they change. Where they do not, that is most of the time
that a sample takes.

Axis letters: K inputs, N neurons, C classes, S seeds; W words, of any of them.
Source: arXiv 2512.04189, Section 3.2 (visible weights).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_type
from bep_jax.kernels.isolate import jit
from bep_jax.kernels.popcounts import VECTOR
from bep_jax.network import dense
from bep_jax.network.model import Model, Params, check_params


class Visible(NamedTuple):
    """Visible weights in whole vectors of neurons: N' is N up to the next multiple of 16, zeros in between.

    Of several networks of one model, with a leading seed axis ``[S]`` on every array.
    """

    hidden: tuple[jax.Array, ...]  # per matrix uint32 [W, N'], packed along the inputs
    classifier: jax.Array  # uint32 [W, C'], packed along the last layer's neurons


for _kind in (Params, Visible):
    jax.export.register_namedtuple_serialization(_kind, serialized_name=f"bep_jax.{_kind.__name__}")
del _kind


def visible(model: Model, params: Params) -> Visible:
    """Packs the weights of a network, or of several, once for all calls of `bep_jax.logits`.

    Args:
      model: a `Model`.
      params: its `Params`; of several seeds with a leading axis ``[S]`` on every array, as `fit` returns them.

    Returns:
      `Visible`, which `bep_jax.logits` and `bep_jax.forward` take in place of ``params``: one bit a weight.

    Raises:
      TypeError, ValueError: ``params`` are no `Params`, or not of this model.

    Example:
      >>> from bep_jax.network.model import mlp
      >>> model = mlp(num_inputs=40, widths=(15,), num_classes=2)
      >>> visible(model, model.init(jax.random.key(0))).hidden[0].shape
      (2, 16)
    """
    check_type(model, Model, "model", "visible")
    check_params(params, "visible")
    seeds = params.classifier.shape[:-2]
    classifier = (model.num_classes, bits.num_words(model.num_outputs))
    wanted = tuple((*seeds, *shape) for shape in (*model.matrix_shapes, classifier))
    got = tuple(a.shape for a in (*params.hidden, params.classifier))
    if got != wanted or len(seeds) > 1:
        raise ValueError(f"visible: params do not fit the model: wanted shapes {wanted}, got {got}.")
    return _packed(params)


def check_visible(who: str, model: Model, weights: Visible) -> None:
    """Raises a ValueError, naming ``who``, if these are not visible weights of the model."""
    shapes = (*model.matrix_shapes, (model.num_classes, model.num_outputs))
    wanted = tuple((bits.num_words(k), _whole(n)) for n, k in shapes)
    arrays = (*weights.hidden, weights.classifier)
    seeds = weights.classifier.shape[:-2]
    if any(a.shape != (*seeds, *shape) for a, shape in zip(arrays, wanted, strict=False)) or len(arrays) != len(wanted):
        raise ValueError(
            f"{who}: visible weights do not fit the model: wanted shapes {wanted}, got {[a.shape for a in arrays]}."
        )


@jit
def _packed(params: Params) -> Visible:
    def words(hidden):
        return dense.packed(hidden)[:, : _whole(hidden.shape[0])]

    def one(params: Params) -> Visible:
        classes = params.classifier.shape[0]
        classifier = jnp.pad(params.classifier.T, ((0, 0), (0, _whole(classes) - classes)))
        return Visible(tuple(words(jnp.asarray(h)) for h in params.hidden), classifier)

    return jax.vmap(one)(params) if params.classifier.ndim == 3 else one(params)


def _whole(neurons: int) -> int:
    return -(-neurons // VECTOR) * VECTOR
