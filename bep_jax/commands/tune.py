"""``python -m bep_jax tune``: a search for settings, its table and picture, and the train command of the best."""

import dataclasses
import itertools
import shlex
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from bep_jax.commands.flags import Data, Network, RuleFlags, Training
from bep_jax.commands.plan import Kind, kinds, make_plan, of_layers, say_notes
from bep_jax.data.random_prototypes import NAME as DRAWN
from bep_jax.files import atomic, plots, runs
from bep_jax.learning.rule import Rule, thresholds
from bep_jax.training.search_log import FILE
from bep_jax.training.tuning import AXES, Best, Shape, search

TABLE, PICTURE = "table.md", "mattered.png"
_HEADER = ("settings", "validation accuracy", "epochs", *AXES)
_WIDTHS, _STATES, _WINDOWS = ((525, 525), (255, 255)), (525, 255), (16, 8)
_SHOWN = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tune:
    """Search for the settings that suit the data: rule, scale, bits and widths, by validation accuracy.

    Test samples are not looked at. Ends with a table, a picture of what mattered and the train command of the best.
    """

    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    minutes: Annotated[float, arg(metavar="MINUTES")] = 5.0
    """About how long it takes."""
    epochs: Annotated[int, arg(metavar="N")] = 30
    """Passes over the training data in the last round, fewer where time is short; many candidates have a ninth and some
    a third of them."""
    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: as train)")] = None
    """Samples a step."""
    class_weight: Annotated[bool, arg(help_behavior_hint="(optional)")] = False
    """Train on as many samples of each class, and search for the mean of the classes' recalls."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """What everything is drawn from."""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/tune-<data>)")] = None
    """Folder of the search; one that is there and asks the same goes on."""
    progress: bool = True
    """Whether to show a progress bar, in seconds."""

    def run(self) -> None:
        """Searches, prints and writes.

        Raises:
          ValueError, OSError, ...: flags that do not fit, with a message for the user.
          KeyboardInterrupt: it was stopped; says how to go on.
        """
        training = Training(epochs=self.epochs, batch_size=self.batch_size, seeds=1, seed=self.seed)
        plan = make_plan(self.data, self.network, RuleFlags(), training)
        folder = self.out if self.out is not None else Path("runs") / f"tune-{plan.slug.rpartition('-')[0]}"
        shapes = list(self._shapes(training))
        say_notes(shapes[0].samples)
        options = {
            "batch_size": plan.batch_size(shapes[0].samples),
            "class_weight": "balanced" if self.class_weight else None,
            "validation": 0.2,
        }
        margin = plan.rule.margin
        try:
            best = search(shapes, self.minutes, self.epochs, margin, self.seed, folder, self.progress, options)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"the same command goes on from {folder / FILE}") from None
        command = self._command(best)
        text = _table(best)
        atomic.replace_together(
            folder,
            {
                TABLE: text.encode(),
                PICTURE: plots.attempted(PICTURE, lambda: plots.tuning(best.table, AXES)),
                "best.json": runs.json_bytes(
                    {
                        "command": command,
                        "python": _python(best),
                        "validation_accuracy": best.validation_accuracy,
                        "default_accuracy": best.default_accuracy,
                        "rule": dataclasses.asdict(best.rule),
                        "fit_options": best.fit_options,
                    }
                ),
            },
        )
        print("\n".join(text.splitlines()[: 2 + _SHOWN]))
        usual = ": nothing was better by more than a standard error" if best.usual else ""
        print(
            f"\nvalidation accuracy {100 * best.validation_accuracy:.2f} %, the defaults on the same data and widths "
            f"{100 * best.default_accuracy:.2f} %{usual}; "
            f"test samples were not looked at\n\n{command}\n\n{_python(best)}\n\nwrote {folder}/",
            flush=True,
        )

    def _shapes(self, training: Training) -> Iterator[Shape]:
        """Encodings and networks, the kinds of network in turn, what is usual first; what flags say is not searched
        for."""
        every = kinds(self.data, self.network, Training())
        variants = [[(kind, *one) for one in self._variants(kind)] for kind in every]
        for kind, data, network, label, model in filter(None, itertools.chain(*itertools.zip_longest(*variants))):
            plan = make_plan(data, network, RuleFlags(), training, kind)
            samples = plan.load()
            if samples.num_seeds is not None:  # drawn anew for every seed: here once
                samples = dataclasses.replace(plan, data_seed=self.seed).load()
            yield Shape(label, model, samples, plan.model(samples))

    def _variants(self, kind: Kind) -> Iterator[tuple[Data, Network, str, str]]:
        """Flags, and in words those that are searched for: of the encoding, and of the network."""
        data, network = self.data, self.network
        named = [f"--model {kind}"] if len(kinds(data, network, Training())) > 1 else []
        recurrent = kind == "rnn"
        one_encoding = kind in ("rnn", "rocket") or data.dataset == DRAWN or data.input_bits is not None
        windows = _WINDOWS if recurrent and data.window is None else (data.window,)
        networks = self._recurrent() if recurrent else self._dense()
        for (new, model), bits, window in itertools.product(networks, (None,) if one_encoding else (None, 4), windows):
            changed = dataclasses.replace(data, window=window, input_bits=bits or data.input_bits)
            labels = [*named]
            labels += [f"--window {window}"] if window != data.window else []
            labels += [f"--input-bits {bits}"] if bits is not None else []
            yield changed, new, " ".join(labels), model

    def _dense(self) -> Iterator[tuple[Network, str]]:
        network = self.network
        if network.widths is not None:
            yield network, ""
            return
        for widths in _WIDTHS:
            yield dataclasses.replace(network, widths=widths), f"--widths {' '.join(map(str, widths))}"

    def _recurrent(self) -> Iterator[tuple[Network, str]]:
        """States of two widths, drawn and from patterns, which make states last from the first step on."""
        network = self.network
        for width in _STATES if network.state_width is None else (network.state_width,):
            for patterns in (None, width // 5 | 1) if network.patterns is None else (network.patterns,):
                new = dataclasses.replace(network, state_width=width, patterns=patterns)
                words = [f"--state-width {width}"] if width != network.state_width else []
                words += [f"--patterns {patterns}"] if patterns != network.patterns else []
                yield new, " ".join(words)

    def _command(self, best: Best) -> str:
        """The train command of the best."""
        flags = ["python -m bep_jax train", *_given(self.data, Data()), *_given(self.network, Network())]
        flags += [words for words in (best.data, best.network) if words]
        flags += [f"--batch-size {best.fit_options['batch_size']}", f"--epochs {self.epochs}"]
        flags += ["--class-weight balanced"] if self.class_weight else []
        rule = dataclasses.asdict(best.rule)
        if self.data.dataset == DRAWN and rule["group_size"] is None:  # train takes others there
            rule["group_size"] = tuple(thresholds(best.model, best.rule).group_size.tolist())
        rule["group_size"] = rule["group_size"] and tuple(
            size
            for layer, size in zip(best.model.layers, rule["group_size"], strict=True)
            if layer.learns != "band"  # has no groups
        )
        names = ["margin", "gate", "group_size", "reinforcement"]
        names += ["band"] if rule["band"] != Rule().band else []
        for name in names:
            if rule[name] is not None:
                value = rule[name]
                text = " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
                flags.append(f"--{name.replace('_', '-')} {text}")
        scale = best.fit_options["scale"]
        if scale is not None:
            flags.append(f"--scale {of_layers(scale, ' ')}")
        return " ".join(flags)


def _given(group: Any, default: Any) -> list[str]:
    """The flags of a group that are not as by default."""
    found = []
    for one in dataclasses.fields(group):
        value = getattr(group, one.name)
        if value == getattr(default, one.name):
            continue
        flag = f"--{one.name.replace('_', '-')}"
        if isinstance(value, bool):
            found.append(flag)
        else:
            values = value if isinstance(value, tuple) else (value,)
            found.append(f"{flag} {' '.join(shlex.quote(str(v)) for v in values)}")
    return found


def _python(best: Best) -> str:
    """What trains with the best in Python."""
    default, fields = Rule(), dataclasses.fields(Rule)
    values = {f.name: getattr(best.rule, f.name) for f in fields}
    rule = ", ".join(f"{name}={value!r}" for name, value in values.items() if value != getattr(default, name))
    options = ", ".join(f"{name}={value!r}" for name, value in best.fit_options.items() if value is not None)
    return f"bep.fit({best.model!r}, bep.Rule({rule}), data, {options})"


def _table(best: Best) -> str:
    rows = []
    for row in best.table:
        settings = [row[name] if isinstance(row[name], str) else f"{row[name]:g}" for name in AXES]
        usual = all(row[name] == 1 for name in ("gate", "groups", "scale")) and row["reinforcement"] == 0.5
        name = f"round {row['round']}{', defaults' * usual}"
        rows.append((name, f"{100 * row['validation_accuracy']:.2f}", str(row["epochs"]), *settings))
    return runs.markdown(_HEADER, rows) + "\n"
