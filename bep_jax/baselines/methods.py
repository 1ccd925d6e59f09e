"""Training methods by name, all with the same data, seeds and form of result.

Axis letters: S networks trained side by side.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from bep_jax.baselines import local_rule, qat, random_features
from bep_jax.learning.rule import Rule, thresholds
from bep_jax.network.model import Model
from bep_jax.training.fitting import fit as fit_bep
from bep_jax.training.loop import Result

# name -> what it is called in tables.
TITLES = {
    "bep": "BEP",
    "local-rule": "local rule",
    "qat": "QAT",
    "qat-raw": "QAT, raw sums",
    "qat-batchnorm": "QAT + BN",
    "random-features": "random features",
}
# What each QAT is: see `bep_jax.baselines.qat.init`. The paper's own, without batch normalisation, is the raw one.
_QAT: dict[str, dict[str, bool]] = {
    "qat": {},
    "qat-raw": {"scaled": False},
    "qat-batchnorm": {"batch_norm": True},
}


def is_qat(method: str) -> bool:
    """Whether this is float training, whose only setting is a learning rate."""
    return method in _QAT


def fit(
    method: str, model: Model, settings: Sequence[Rule | float], data: Any, *, epochs: int, **options: Any
) -> Result:
    """Trains one network per entry of ``settings`` with any method, all in one program and all epochs or none.

    Args:
      method: one of `TITLES`.
      model: a `Model`.
      settings: S rules, or for QAT learning rates.
      data: as for `bep_jax.fit`.
      epochs, **options: as for `bep_jax.fit`; ``patience`` and ``scale`` say nothing to QAT.

    Returns:
      A `Result`.

    Raises:
      TypeError, ValueError: as that method's ``fit``.
      KeyboardInterrupt: training was stopped early: half a run is no result beside whole ones.

    Example:
      >>> import bep_jax as bep
      >>> data = bep.datasets.load("random-prototypes", num_train=200, num_test=100)
      >>> model = bep.mlp(num_inputs=data.num_inputs, widths=(15,), num_classes=data.num_classes)
      >>> fit("qat", model, [1e-3, 1e-2], data, epochs=1, seeds=2, progress=False).test_accuracy.shape
      (2,)
    """
    result = _fit(method, model, settings, data, epochs=epochs, **options)
    if not result.history or result.history["train_accuracy"].shape[1] < epochs:
        raise KeyboardInterrupt
    return result


def _fit(method: str, model: Model, settings: Sequence[Rule | float], data: Any, **options: Any) -> Result:
    if is_qat(method):
        options = {name: value for name, value in options.items() if name not in ("patience", "scale")}
        return qat.fit(model, data, learning_rate=settings, **_QAT[method], **options)  # type: ignore[arg-type]
    rules: list[Any] = list(settings)
    if method == "local-rule":
        return local_rule.fit(model, _stacked([local_rule.thresholds(model, r) for r in rules]), data, **options)
    if method == "random-features":
        number = len(random_features.trained_part(model).layers)
        rules = [
            dataclasses.replace(r, group_size=r.group_size[-number:]) if isinstance(r.group_size, tuple) else r
            for r in rules
        ]
        return random_features.fit(
            model, _stacked([random_features.thresholds(model, r) for r in rules]), data, **options
        )
    return fit_bep(model, _stacked([thresholds(model, r) for r in rules]), data, **options)


def _stacked(limits: Sequence[Any]) -> Any:
    """One pytree with a leading axis from several."""
    return jax.tree.map(lambda *a: jnp.stack(a), *limits)
