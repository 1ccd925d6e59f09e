"""What all reproductions share: flags of the recurrent network and its rule, fits that end whole or not at all.

Axis letters: S networks trained side by side.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import numpy as np
from tyro.conf import FlagCreatePairsOff, arg

from bep_jax.baselines import methods
from bep_jax.files import runs
from bep_jax.learning.rule import Rule, thresholds
from bep_jax.network.model import Model, rnn
from bep_jax.reproduce.flags import Common
from bep_jax.training.loop import Result

TAIL = 5  # epochs that a validation accuracy is the mean of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network(Common):
    """Flags of the network, the rule and the data, and what they come to."""

    output_width: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the state's width)")] = None
    """Neurons of the layer after the last state."""
    margin: Annotated[float, arg(metavar="R")] = 0.5
    """r in (0, 1]: a sample learns while its margin is below r times the width of the last layer."""
    group_size: Annotated[tuple[int, ...], arg(metavar="N [N]")] = (15,)
    """γ at the start, one, or one each for state and output: of so many neurons at most one learns per sample."""
    reinforcement: Annotated[float, arg(metavar="P")] = 0.5
    """p_r in [0, 1]: how often a weight is pushed away from zero."""
    patience: Annotated[int, arg(metavar="EPOCHS")] = 10
    """Groups grow after so many epochs without a better validation accuracy; 0 for never."""
    scale: Annotated[float | None, arg(metavar="SIGMA")] = 64.0
    """Standard deviation of the initial hidden weights; None for 0.64 times batch size and time steps, at least 64,
    about which the paper says nothing."""
    patterns: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: independent weights)")] = None
    """Start the recurrent weights as the Hebbian matrix of so many random patterns, which the paper does not."""
    gated_update: Annotated[bool, FlagCreatePairsOff] = False
    """A neuron learns only from time steps at which it passes errors down, which the paper does not ask for."""

    def network_settings(self, state_width: int) -> dict[str, Any]:
        """What the numbers of any run depend on."""
        # Only what differs from the paper, so that lines from before these flags are still found.
        beyond = {"patterns": self.patterns, "gated_update": self.gated_update}
        return {
            **{name: value for name, value in beyond.items() if value not in (None, False)},
            "state_width": state_width,
            "output_width": self.output_width or state_width,
            "margin": self.margin,
            "group_size": list(self.group_size),
            "reinforcement": self.reinforcement,
            "patience": self.patience,
            "scale": self.scale,
            "seed": self.seed,
        }

    def rule(self, gate: float) -> Rule:
        size = self.group_size
        return Rule(
            margin=self.margin,
            gate=gate,
            group_size=size[0] if len(size) == 1 else size,
            reinforcement=self.reinforcement,
        )

    def model(self, num_inputs: int, state_width: int, num_classes: int, horizon: int | None = None) -> Model:
        return rnn(
            num_inputs=num_inputs,
            state_width=state_width,
            output_width=self.output_width or state_width,
            num_classes=num_classes,
            horizon=horizon,
            patterns=self.patterns,
            gated_update=self.gated_update,
        )

    def check_network(self, state_width: int, gates: Sequence[float]) -> None:
        """Raises ValueError for a rule that does not fit the network, before hours of work are planned on it."""
        for gate in gates:
            thresholds(self.model(1, state_width, 2), self.rule(gate))

    def fit(
        self,
        model: Model,
        rules: Sequence[Rule],
        data: Any,
        *,
        epochs: int,
        batch_size: int,
        seeds: Sequence[int],
        validation: float,
        progress: Callable[[], Any],
    ) -> Result:
        """`bep_jax.baselines.methods.fit` of BEP, a network for each of the rules."""
        return methods.fit(
            "bep",
            model,
            rules,
            data,
            epochs=epochs,
            batch_size=batch_size,
            seeds=seeds,
            key=jax.random.key(self.seed),
            validation=validation,
            patience=self.patience or None,
            scale=self.scale,
            callbacks=[lambda report: progress()],
            progress=False,
        )


def check_counts(who: str, **counts: int | Sequence[int]) -> None:
    """Raises ValueError for a flag that is below 1, or an empty list."""
    for name, values in counts.items():
        values = (values,) if isinstance(values, int) else values
        if not values or min(values) < 1:
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"reproduce: {who}: {flag} takes integers of at least 1, got {list(values)}.")


def check_fraction(who: str, **fractions: float) -> None:
    """Raises ValueError for a flag that is not between 0 and 1."""
    for name, value in fractions.items():
        if not 0 < value < 1:
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"reproduce: {who}: {flag} must be a fraction in (0, 1), got {value}.")


def numbers(result: Result, s: int, *, test: bool = True) -> dict[str, Any]:
    """What a line of the results file says about network ``s``; ``test=False`` leaves test data out.

    ``validation_accuracy`` is the mean of the last `TAIL` epochs.
    """
    history = {name: values[s] for name, values in result.history.items()}
    validated = history.get("validation_accuracy")
    return {
        **({"test_accuracy": float(result.test_accuracy[s])} if test else {}),
        **({"validation_accuracy": float(validated[-TAIL:].mean())} if validated is not None else {}),
        "train_accuracy": float(history["train_accuracy"][-1]),
        "history": {
            name: [round(v, 5) for v in values.tolist()]
            for name, values in history.items()
            if name in ("train_accuracy", "validation_accuracy", "group_size_1")
        },
    }


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """In percent; the standard deviation is `runs.std`."""
    percent = 100 * np.asarray(values, np.float64)
    return float(percent.mean()), runs.std(percent)


def batch_size(num_samples: int, batches: int) -> int:
    """Samples a batch so that an epoch is at most so many batches."""
    return math.ceil(num_samples / batches)
