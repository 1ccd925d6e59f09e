"""Which network reads series, where no flag says it, by the trials of `bep_jax.training.choosing`."""

import functools
from typing import NamedTuple

import jax

from bep_jax.commands.flags import Data, Network, RuleFlags, Training
from bep_jax.commands.plan import Kind, kinds, make_plan
from bep_jax.training import choosing

_TITLES = {
    "mlp": "dense, all steps at once",
    "rocket": "dense on counts of kernels",
    "conv": "convolution",
    "rnn": "recurrent",
}


class Choice(NamedTuple):
    """What was decided, and on what; a run's flags.json holds it, too."""

    chosen: Kind
    validation_accuracy: dict[str, float]  # by kind

    @property
    def text(self) -> str:
        scores = self.validation_accuracy
        found = ", ".join(f"{_TITLES[kind]} {100 * score:.1f} %" for kind, score in scores.items())
        luck = ", none better by a standard error" if scores[self.chosen] < max(scores.values()) else ""
        return f"validation samples decide for {self.chosen}: {found}{luck}; --model takes another"


def network(data: Data, network: Network, flags: RuleFlags, training: Training, progress: bool) -> Choice | None:
    """The convolution, unless validation samples like another better by more than luck; None where flags mean one."""
    # The convolution reads what dense layers and counts of kernels read: it is taken unless another is clearly better.
    candidates = sorted(kinds(data, network, training), key=lambda kind: kind != "conv")
    if len(candidates) == 1:
        return None

    def trial(kind: Kind) -> choosing.Trial | None:
        plan = make_plan(data, network, flags, training, kind)
        samples = plan.load()
        if kind == "rnn" and not choosing.recurrent_tried(samples.num_steps):
            return None
        settings = plan.settings(samples)
        return choosing.Trial(plan.model(samples), plan.rule, samples, settings["batch_size"], settings["scale"])

    chosen, scores = choosing.choose(
        {kind: functools.partial(trial, kind) for kind in candidates},
        epochs=training.epochs,
        key=jax.random.fold_in(jax.random.key(training.seed), 1),
        class_weight=training.class_weight,
        progress=progress,
    )
    return Choice(chosen, scores)  # type: ignore[arg-type]
