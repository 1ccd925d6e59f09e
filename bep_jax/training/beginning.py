"""Where training starts: at weights drawn anew, or at those of any network, which training goes on from.

Axis letters: S seeds, N neurons, K inputs.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_type
from bep_jax.learning.optimizer import OptimizerState, check_state
from bep_jax.network.model import Model, Params, check_params
from bep_jax.training.checkpoint import describe, fingerprint
from bep_jax.training.devices import Placement
from bep_jax.training.learner import TrainState


class Beginning(NamedTuple):
    """A network to go on from, every array with a leading seed axis."""

    params: Params
    opt_state: OptimizerState | None
    signs: bool  # the weights are ±1: their sizes are drawn

    def applied(self, drawn: TrainState, place: Placement) -> TrainState:
        """The first state of all seeds, in place of what was drawn."""
        # Copies: training gives its state away.
        params = jax.tree.map(jnp.copy, place.put(self.params, 0))
        if self.signs:
            # As far from zero as what was drawn, on the side of the signs.
            hidden = tuple(
                jnp.where(h >= 0, jnp.abs(d), -jnp.abs(d))
                for h, d in zip(params.hidden, drawn.params.hidden, strict=True)
            )
            params = params._replace(hidden=hidden)
        opt_state = drawn.opt_state if self.opt_state is None else jax.tree.map(jnp.copy, place.put(self.opt_state, 0))
        return drawn._replace(params=params, opt_state=opt_state)

    def described(self) -> dict[str, Any]:
        """For the configuration of a checkpoint."""
        state = (
            None
            if self.opt_state is None
            else describe(self.opt_state._replace(key=jax.random.key_data(self.opt_state.key)))
        )
        return {"params": [fingerprint(np.asarray(a)) for a in jax.tree.leaves(self.params)], "opt_state": state}


def beginning(
    model: Model, params: Params | None, opt_state: OptimizerState | None, scale: Any, num_seeds: int
) -> Beginning | None:
    """What ``fit(params=..., opt_state=...)`` starts from; None for weights drawn anew.

    Raises:
      TypeError, ValueError: they do not fit the model, each other, the number of seeds, or ``scale``.
    """
    if params is None:
        if opt_state is not None:
            raise ValueError("fit: opt_state belongs to params; give both.")
        return None
    check_params(params, "fit")
    if len(params.hidden) != len(model.matrix_shapes):
        matrices, found = len(model.matrix_shapes), len(params.hidden)
        raise TypeError(f"fit: params must be Params of {matrices} hidden matrices, got {found} matrices.")
    wanted = [*model.matrix_shapes, (model.num_classes, bits.num_words(model.num_outputs))]
    mapped = np.ndim(params.classifier) == 3
    lead = (num_seeds,) if mapped else ()
    dtypes = ["int16"] * len(params.hidden) + ["uint32"]
    for a, shape, dtype in zip((*params.hidden, params.classifier), wanted, dtypes, strict=True):
        if np.shape(a) != lead + shape:
            raise ValueError(f"fit: params do not fit the model: wanted {lead + shape}, got {np.shape(a)}.")
        if a.dtype != dtype:
            raise TypeError(f"fit: params of shape {lead + shape} must be {dtype}, got {a.dtype}.")
    bits.check_padding(params.classifier, model.num_outputs, "fit: params.classifier")
    signs = all(bool((np.abs(np.asarray(h)) == 1).all()) for h in params.hidden)
    if signs and scale is None:
        raise ValueError(
            "fit: params are signs alone, as of a file that was saved without hidden=True; give scale, the standard "
            "deviation of the hidden weights that they start with: the larger, the slower they are forgotten."
        )
    if not signs and scale is not None:
        raise ValueError("fit: scale is for weights drawn anew or for signs; params have hidden weights of their own.")
    if opt_state is not None:
        matrices = len(model.matrix_shapes)
        check_type(opt_state, OptimizerState, "opt_state", "fit")
        check_state("fit: opt_state", opt_state, values=True)
        if opt_state.draw.shape not in ((matrices,), (*lead, matrices)):
            raise TypeError("fit: opt_state must be an OptimizerState of this model, of one seed or one for each.")
        if opt_state.draw.ndim == 1:
            opt_state = _tiled(opt_state, num_seeds)
    return Beginning(params if mapped else _tiled(params, num_seeds), opt_state, signs)


def _tiled(tree: Any, num_seeds: int) -> Any:
    return jax.tree.map(lambda a: jnp.broadcast_to(a, (num_seeds, *a.shape)), tree)
