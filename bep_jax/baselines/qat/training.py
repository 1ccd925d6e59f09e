"""Training of the float network: straight-through gradients, optax Adam, and `fit`.

Latent weights are cut to [-1, 1] after every step. Adam is optax's, leaf by leaf: flattened is no faster.

Axis letters: S seeds, B batch, T time steps, C classes, W words.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from bep_jax.baselines.qat.network import Trained, Variables, batch_mean, check, check_as_made, forward, init, logits
from bep_jax.kernels.checks import check_flag, check_real, check_type, is_several
from bep_jax.learning.chain import check_labels
from bep_jax.network.model import Model
from bep_jax.training import loop
from bep_jax.training.loop import Result
from bep_jax.training.samples import check_seeds

_MOMENTUM = 0.1


class Stats(NamedTuple):
    """What one step saw, before its update."""

    loss: jax.Array  # float32 [], mean cross-entropy
    correct: jax.Array  # int32 [], samples classified correctly


def make_optimizer(learning_rate: jax.typing.ArrayLike = 1e-3) -> optax.GradientTransformation:
    """Adam whose learning rate is a number in its state, so that vmap maps over learning rates.

    Args:
      learning_rate: a number of at least 0, or a traced scalar.

    Returns:
      ``optax.inject_hyperparams(optax.adam)``; ``init(variables.trained)`` makes its state, `step` uses it.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(4,), num_classes=2)
      >>> trained = init(jax.random.key(0), model).trained
      >>> states = jax.vmap(lambda rate: make_optimizer(rate).init(trained))(jnp.array([1e-3, 1e-2], jnp.float32))
      >>> states.hyperparams["learning_rate"].shape
      (2,)
    """
    if not isinstance(learning_rate, jax.core.Tracer):
        learning_rate = _rate(learning_rate, "make_optimizer")
    adam = optax.inject_hyperparams(optax.adam, hyperparam_dtype=jnp.float32)
    return adam(learning_rate=learning_rate)


def step(
    model: Model,
    optimizer: optax.GradientTransformation,
    variables: Variables,
    opt_state: optax.OptState,
    x: jax.Array,
    y: jax.Array,
    where: jax.Array | None = None,
) -> tuple[Variables, optax.OptState, Stats]:
    """One mini-batch: straight-through gradient of the mean cross-entropy, Adam, cut to [-1, 1].

    Args:
      model: a `Model`.
      optimizer: any optax transformation of `Trained`, usually from `make_optimizer`.
      variables: `Variables`.
      opt_state: from ``optimizer.init(variables.trained)``.
      x: uint32 ``[B, W]``, recurrent ``[B, T, W]``; packed input bits.
      y: integer ``[B]``, labels in 0..C-1; under jit, a sample with a label outside adds nothing to the loss.
      where: bool ``[B]``; False takes no part, in the batch statistics neither.

    Returns:
      New variables and optimizer state, and `Stats`.

    Raises:
      TypeError, ValueError: as `logits`; labels or ``where`` do not fit, or concrete labels are out of range.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(4,), num_classes=2)
      >>> variables, adam = init(jax.random.key(0), model), make_optimizer(1e-2)
      >>> x, y = bep.bits.pack(jnp.ones((3, 6), bool)), jnp.array([0, 1, 1])
      >>> variables, opt_state, stats = step(model, adam, variables, adam.init(variables.trained), x, y)
      >>> bool(stats.loss > 0)
      True
    """
    check("step", model, variables, x)
    check_type(optimizer, optax.GradientTransformation, "optimizer", "step")
    if not (callable(optimizer.init) and callable(optimizer.update)):
        raise TypeError("step: optimizer must hold the functions init and update.")
    check_as_made("step", "opt_state", opt_state, jax.eval_shape(optimizer.init, variables.trained))
    check_labels("step", model, x.shape[0], y, where)
    y = y.astype(jnp.int32)

    def loss(trained: Trained) -> tuple[jax.Array, tuple]:
        scores, statistics = forward(model, trained, variables, x, where, training=True)
        own_class = jnp.arange(model.num_classes, dtype=jnp.int32)[:, None] == y[None, :]
        losses = -jnp.sum(jnp.where(own_class, jax.nn.log_softmax(scores, axis=0), 0.0), axis=0)
        return batch_mean(losses, where, axis=0), (scores, statistics)

    (value, (scores, statistics)), gradients = jax.value_and_grad(loss, has_aux=True)(variables.trained)
    # optax raises a float to an integer count and so on, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
        deltas, opt_state = optimizer.update(gradients, opt_state, variables.trained)
        trained = optax.apply_updates(variables.trained, deltas)
    trained = trained._replace(latent=tuple(jnp.clip(w, -1.0, 1.0) for w in trained.latent))
    running = jax.tree.map(lambda old, new: old + _MOMENTUM * (new - old), variables.statistics, statistics)
    if where is not None:
        # Nothing was seen: nothing is to be averaged.
        running = jax.tree.map(lambda old, new: jnp.where(jnp.any(where), new, old), variables.statistics, running)
    correct = lax.argmax(scores, 0, jnp.int32) == y
    counted = jnp.sum(correct if where is None else correct & where, dtype=jnp.int32)
    return variables._replace(trained=trained, statistics=running), opt_state, Stats(value, counted)


def fit(
    model: Model,
    data: Any,
    *,
    learning_rate: float | Sequence[float] = 1e-3,
    batch_norm: bool = False,
    scaled: bool = True,
    seeds: int | Sequence[int] = 5,
    **options: Unpack[loop.Options],
) -> Result:
    """`bep_jax.fit` for float32 straight-through training: the same data, seeds, batches and form of result.

    Args:
      model: a `Model`; its backward horizon is ignored.
      data: as for `bep_jax.fit`.
      learning_rate: of Adam; one, or one for each seed, a sweep in one program.
      batch_norm: whether every dense layer is followed by batch normalisation.
      scaled: whether pre-activations are multiplied by 1 / sqrt(fan-in); see `init`.
      seeds: as for `bep_jax.fit`.
      **options: as for `bep_jax.fit`: epochs, batch_size, key, validation, callbacks, progress, checkpoint_dir, resume;
        there is no group size to grow, and patience says nothing.

    Returns:
      A `Result` whose params are `Variables`; ``history`` holds loss, train_accuracy and validation_accuracy.

    Raises:
      TypeError, ValueError: arguments out of range, data that do not fit the model.

    Example:
      >>> import bep_jax as bep
      >>> data = bep.datasets.load("random-prototypes", num_train=200, num_test=100)
      >>> model = bep.mlp(num_inputs=data.num_inputs, widths=(15,), num_classes=data.num_classes)
      >>> fit(model, data, learning_rate=[1e-3, 1e-2], epochs=2, seeds=2, progress=False).test_accuracy.shape
      (2,)
    """
    options["patience"] = None
    seeds = check_seeds(seeds)
    check_type(model, Model, "model", "fit")
    for name, flag in (("batch_norm", batch_norm), ("scaled", scaled)):
        check_flag(flag, name, "fit")
    several, given = is_several(learning_rate), cast(Any, learning_rate)
    rates = [_rate(one, "fit", float(np.finfo(np.float32).tiny)) for one in (given if several else (given,))]
    rate = jnp.asarray(rates if several else rates[0], jnp.float32)
    num_steps = np.shape(data.train_x)[-2] if model.recurrent else None
    return loop.train(
        StraightThroughLearner(model, batch_norm, num_steps, scaled),
        loop.per_seed(rate, rate.ndim == 1, len(seeds)),
        data,
        seeds=seeds,
        **options,
    )


def _rate(value: Any, who: str, least: float = 0.0) -> float:
    """A learning rate as a float, or an error that names ``who``."""
    single = isinstance(value, jax.Array | np.ndarray) and value.shape == () and jnp.issubdtype(value.dtype, np.number)
    rate = check_real(value.item() if single else value, "learning_rate", who)
    if not least <= rate <= float(np.finfo(np.float32).max):
        wanted = "positive" if least else "at least 0"
        raise ValueError(f"{who}: learning_rate must be {wanted} and finite in float32, got {rate}.")
    return rate


@dataclass(frozen=True)
class StraightThroughLearner:
    """Straight-through training as a `bep_jax.training.learner.Learner`; its settings are the learning rate.

    Args:
      model: a `Model`.
      batch_norm, num_steps, scaled: as for `init`.
    """

    model: Model
    batch_norm: bool = False
    num_steps: int | None = None
    scaled: bool = True

    @functools.partial(jax.jit, static_argnums=0)  # as one program, since floats depend on what is fused
    def init(self, learning_rate: jax.Array, init_key: jax.Array, draw_key: jax.Array) -> tuple[Variables, Any]:
        variables = init(init_key, self.model, batch_norm=self.batch_norm, num_steps=self.num_steps, scaled=self.scaled)
        return variables, make_optimizer(learning_rate).init(variables.trained)

    def step(self, learning_rate, variables, opt_state, x, y, where):
        variables, opt_state, stats = step(self.model, make_optimizer(), variables, opt_state, x, y, where)
        # A sum over samples, which adds up over batches of any size.
        return variables, opt_state, stats._replace(loss=stats.loss * jnp.sum(where, dtype=jnp.float32))

    def predict(self, variables: Variables, x: jax.Array) -> jax.Array:
        return lax.argmax(logits(self.model, variables, x), 1, jnp.int32)

    def metrics(self, learning_rate: jax.Array, totals: Stats, num_samples: int) -> dict[str, np.ndarray]:
        return {
            "train_accuracy": np.asarray(totals.correct, np.float64) / num_samples,
            "loss": np.asarray(totals.loss, np.float64) / num_samples,
        }

    def after_epoch(self, opt_state: Any, metrics: dict[str, np.ndarray]) -> Any:
        return opt_state

    def grow(self, learning_rate: jax.Array, stalled: np.ndarray) -> jax.Array:
        return learning_rate
