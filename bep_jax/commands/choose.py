"""Which network reads series, where no flag says it: decided on validation samples of the training part."""

import dataclasses
from typing import NamedTuple

import jax

from bep_jax.commands.flags import Data, Network, RuleFlags, Training
from bep_jax.commands.plan import Kind, kinds, make_plan
from bep_jax.training.fitting import fit

_TITLES = {"mlp": "dense, all steps at once", "conv": "convolution", "rnn": "recurrent"}
# That a recurrent network is tried on: its cost grows with them, and on longer series dense was ahead.
_MOST_STEPS = 32
_EPOCHS, _SEEDS, _VALIDATION, _TAIL = 20, 3, 0.3, 3


class Choice(NamedTuple):
    """What was decided, and on what."""

    kind: Kind
    scores: dict[str, float]  # validation accuracy by kind
    text: str


def network(data: Data, network: Network, flags: RuleFlags, training: Training, progress: bool) -> Choice | None:
    """Trains each network that the flags may mean for a few epochs; None where they mean one.

    Three draws of a network learn 70 % of the training samples, and the last three epochs' accuracy on the others
    decides; the first on ties. Test samples take no part.
    """
    candidates = kinds(data, network)
    if len(candidates) == 1:
        return None
    found: dict[str, float] = {}
    for kind in candidates:
        plan = make_plan(data, network, flags, training, kind)
        samples = plan.load()
        if kind == "rnn" and samples.num_steps is not None and samples.num_steps > _MOST_STEPS:
            continue
        settings = plan.settings(samples)
        result = fit(
            plan.model(samples),
            plan.rule,
            dataclasses.replace(samples, test_x=None, test_y=None),  # type: ignore[arg-type]
            epochs=min(_EPOCHS, training.epochs),
            batch_size=settings["batch_size"],
            seeds=_SEEDS,
            key=jax.random.fold_in(jax.random.key(training.seed), 1),
            validation=_VALIDATION,
            patience=None,
            scale=settings["scale"],
            class_weight=training.class_weight,
            progress=progress,
        )
        if result.interrupted or not result.history:
            raise KeyboardInterrupt
        found[kind] = float(result.history["validation_accuracy"][:, -_TAIL:].mean())
    best: Kind = max(candidates, key=lambda kind: found.get(kind, -1.0))
    accuracies = ", ".join(f"{_TITLES[kind]} {100 * accuracy:.1f} %" for kind, accuracy in found.items())
    return Choice(best, found, f"validation samples decide for {best}: {accuracies}; --model takes another")
