"""`tune`: the settings that validation samples like best, by successive halving.

Many candidates train for few epochs, the better third of them for three times as many, and the best of those for all,
or for as many as there is time for, beside the settings that follow from shapes: of the same data and model, and of the
first ones. Those are taken where nothing is better by more than a standard error: the best of many is partly luck, most
of all on few validation samples. Candidates of one shape (data, widths) are rows of one program. What was trained is a
line of a file, by which a search goes on where it was stopped.

Source: Jamieson and Talwalkar 2016, arXiv 1502.07943 (successive halving); Breiman, Friedman, Olshen and Stone 1984,
"Classification and Regression Trees", 3.4.3 (the rule of one standard error).
"""

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax.data.dataset import Dataset, check_seed
from bep_jax.kernels.checks import check_flag, check_path, check_real, check_type
from bep_jax.learning.laws import MOST_SCALE, divisors, gate_factors, initial_scale, usual_groups
from bep_jax.learning.rule import Rule, thresholds
from bep_jax.network.model import Model, mlp, rnn
from bep_jax.training.checkpoint import fingerprint
from bep_jax.training.fitting import fit, start_states
from bep_jax.training.samples import check_choices, check_numbers
from bep_jax.training.search_log import Candidate, Log

MARGINS, REINFORCEMENTS = (0.25, 0.5, 0.75, 1.0), (0.25, 0.5, 1.0)
GATES, GROUPS, SCALES = (0.5, 1.0, 2.0, 4.0), (0.4, 1.0, 2.0, 4.0), (1.0, 2.0, 4.0)  # times what follows from shapes
BANDS = (0.35, 0.5, 0.7)  # of √K, where layers learn by band
AXES = ("data", "model", "margin", "gate", "groups", "scale", "reinforcement", "band")
_ROWS = 4  # networks of one program
_SHARES = (0.45, 0.75, 1.0)  # of the time, when each round ends
_CHUNKS, _TAIL = 48, 3  # the first round's at most; epochs that an accuracy is the mean of
_DRAWS = (1, 2)  # of validation samples in the last round


class Shape(NamedTuple):
    """What candidates share that train in one program."""

    data: str  # a name
    model: str  # a name
    samples: Dataset
    network: Model


class Best(NamedTuple):
    """What `tune` returns."""

    model: Model
    rule: Rule
    fit_options: dict[str, Any]  # batch_size, scale and the epochs that were asked for, for `bep_jax.fit`
    table: list[dict[str, Any]]  # a row for everything that was trained, the best first
    data: str  # name of the encoding
    network: str  # name of the model
    validation_accuracy: float
    default_accuracy: float  # of what follows from shapes, the same data, model and epochs
    usual: bool  # whether what follows from shapes was best, within a standard error


def tune(
    data: Dataset | Mapping[str, Dataset],
    *,
    minutes: float = 5.0,
    models: Mapping[str, Callable[[Dataset], Model]] | None = None,
    epochs: int = 30,
    batch_size: int = 100,
    margin: float = 0.5,
    class_weight: Literal["balanced"] | None = None,
    validation: float = 0.2,
    seed: int = 0,
    out: str | os.PathLike | None = None,
    progress: bool = True,
) -> Best:
    """Searches for a rule, a scale, an encoding and a network by validation accuracy; test data are not looked at.

    Args:
      data: a `Dataset`, or encodings of the same samples by name.
      minutes: about how long. Every data set and model is tried once, and each round once, however short it is.
      models: functions from a data set to a `Model`, by name; None for perceptrons of two layers of 255 and of 525
        neurons, or, where samples have a time axis, recurrent networks of 255 and of 525.
      epochs: of the last round at most, a third of them at least.
      batch_size: samples a step.
      margin: r that the search begins with.
      class_weight: as for `bep_jax.fit`; "balanced" also searches for the mean of the classes' recalls.
      validation: share of the training samples that decides, the same ones for all candidates.
      seed: of the candidates, weights and validation samples.
      out: a folder for what was trained (``tune.jsonl``); a search that finds one there with the same arguments goes
        on with it, and what it took counts; a last round that was begun keeps its epochs.
      progress: whether to show a progress bar, in seconds.

    Returns:
      A `Best`: ``bep.fit(best.model, best.rule, data, **best.fit_options)``.

    Raises:
      ValueError: arguments out of range; ``out`` holds another search.
      KeyboardInterrupt: it was stopped; with ``out``, the same call goes on.

    Example:
      >>> import bep_jax as bep
      >>> data = bep.datasets.load("random-prototypes", num_train=200, num_test=10)
      >>> small = {"15": lambda data: bep.mlp(num_inputs=data.num_inputs, widths=(15,), num_classes=10)}
      >>> best = bep.tune(data, minutes=0, models=small, epochs=3, progress=False)
      >>> best.validation_accuracy >= best.default_accuracy
      True
    """
    check_type(data, (Dataset, Mapping), "data", "tune")
    named = {"": data} if isinstance(data, Dataset) else dict(data)
    check_type({} if models is None else models, Mapping, "models", "tune")
    shapes = []
    for name, samples in named.items():
        check_type(samples, Dataset, "every data set", "tune")
        for label, make in (usual_models(samples) if models is None else models).items():
            if not callable(make):
                raise TypeError(f"tune: models must hold functions of the data, got {type(make).__name__}.")
            network = make(samples)
            check_type(network, Model, "what functions in models return", "tune")
            shapes.append(Shape(name, label, samples, network))
    options = {"batch_size": batch_size, "class_weight": class_weight, "validation": validation}
    return search(shapes, minutes, epochs, margin, seed, out, progress, options)


def usual_models(data: Dataset) -> dict[str, Callable[[Dataset], Model]]:
    """The networks that are tried where none are named."""
    if data.train_x.ndim > 2:
        return {f"{width}": lambda d, width=width: _recurrent(d, width) for width in (255, 525)}  # type: ignore[misc]
    return {f"{width} {width}": lambda d, width=width: _dense(d, (width, width)) for width in (255, 525)}  # type: ignore[misc]


def search(
    shapes: Sequence[Shape],
    minutes: float,
    epochs: int,
    margin: float,
    seed: int,
    out: str | os.PathLike | None,
    progress: bool,
    options: Mapping[str, Any],
) -> Best:
    """`tune` on given shapes; ``options`` are those of `bep_jax.fit`, the same for all."""
    if not shapes or not 0 <= check_real(minutes, "minutes", "tune") < math.inf:
        raise ValueError(f"tune: wanted data, and minutes of at least 0, got {len(shapes)} networks, {minutes}.")
    check_numbers(epochs, options["batch_size"], options["validation"], None)
    if not options["validation"]:
        raise ValueError("tune: wanted validation samples, which decide, got validation=0.")
    check_choices("last", options["class_weight"])
    check_seed(seed, "tune")
    margin = Rule(margin=margin).margin
    check_flag(progress, "progress", "tune")
    out = None if out is None else check_path(out, "out", "tune")
    if any(shape.samples.num_seeds is not None for shape in shapes):
        raise ValueError("tune: wanted one draw of the data; load it with one seed.")
    from tqdm.auto import tqdm  # here, so that a step needs jax, optax and numpy alone

    config = {
        "epochs": epochs,
        "margin": margin,
        "seed": seed,
        "options": dict(options),
        "shapes": [[s.data, s.model, fingerprint(s.samples.train_x), fingerprint(s.samples.train_y)] for s in shapes],
    }
    log = Log(out, config)
    with tqdm(total=round(60 * minutes), unit="s", disable=not progress) as bar:
        run = _Search(shapes, margin, seed, log, options, bar)
        first, second = (max(1, epochs // share) for share in (9, 3))
        usual = [Candidate(i, margin, 1.0, 1.0, 1.0, 0.5) for i in range(len(shapes))]
        ends = [60 * minutes * share for share in _SHARES]
        for number, chunk in enumerate(run.drawn(usual)):
            if number >= len(shapes) and (number >= _CHUNKS or not run.fits(chunk, first, ends[0])):
                break
            run.train(0, chunk, first)
        ranked = run.ranked(0)
        for number, chunk in enumerate(_chunks(ranked[: max(2, math.ceil(len(ranked) / 3))], _ROWS)):
            if number and not run.fits(chunk, second, ends[1]):
                break
            run.train(1, chunk, second)
        ranked = run.ranked(1)
        # The first shape is what training takes where nothing is named: short rounds are no reason to leave it.
        others = [candidate for candidate in ranked if candidate not in usual] or usual[:1]
        last = run.last_epochs([others[0], usual[0]], second, epochs, ends[2])
        for number, candidate in enumerate(others[: max(1, math.ceil(len(ranked) / 3))]):
            group = [usual[0], usual[candidate.shape], candidate]
            if number and not run.fits(run.missing(2, group), last, ends[2]):
                break
            run.train(2, group, last)
    finals = run.ranked(2)
    by_law = next(candidate for candidate in finals if candidate in usual)
    score = run.score(2, by_law)
    best = finals[0] if run.score(2, finals[0]) > score + _error(score, shapes[by_law.shape], options) else by_law
    shape = shapes[best.shape]
    rule, scale = settings(shape, best, options["batch_size"])
    return Best(
        shape.network,
        rule,
        {"batch_size": options["batch_size"], "scale": scale, "epochs": epochs},
        run.table(),
        shape.data,
        shape.model,
        run.score(2, best),
        run.score(2, usual[best.shape]),
        best in usual,
    )


def settings(shape: Shape, candidate: Candidate, batch_size: int) -> tuple[Rule, tuple[float, ...] | None]:
    """The rule and the scale that a candidate means; None for what follows from shapes."""
    layers = shape.network.layers
    gate = group_size = scale = None
    if candidate.gate != 1:
        # One ν for all layers, as a rule has it: of the mean fan-in, on a scale of factors.
        fan_in = math.exp(sum(math.log(layer.gate_fan_in) for layer in layers) / len(layers))
        gate = float(f"{candidate.gate * gate_factors(shape.network)[0] / math.sqrt(fan_in):.3g}")
    if candidate.groups != 1:
        group_size = tuple(
            1 if layer.learns == "band" else _divisor(layer.width, usual * candidate.groups)
            for layer, usual in zip(layers, usual_groups(shape.network), strict=True)
        )
    if candidate.scale != 1:
        scale = tuple(min(MOST_SCALE, candidate.scale * law) for law in _law(shape, batch_size))
    rule = Rule(
        margin=candidate.margin,
        gate=gate,
        group_size=group_size,
        reinforcement=candidate.reinforcement,
        band=candidate.band,
    )
    return rule, scale


class _Search:
    """Trains candidates, a program a shape, and knows their scores."""

    def __init__(self, shapes, margin, seed, log, options, bar):
        self._shapes, self._margin, self._seed, self._log = shapes, margin, seed, log
        self._options, self._bar = options, bar
        bar.update(min(round(log.seconds), bar.total))

    def drawn(self, usual: Sequence[Candidate]) -> Iterator[list[Candidate]]:
        """Chunks of the first round, of one shape after the other; the first of each holds what follows from shapes."""
        for number in range(_CHUNKS + len(usual)):
            place = number % len(usual)
            rng = np.random.default_rng([self._seed, number])
            chunk = [usual[place]] if number < len(usual) else []
            while len(chunk) < _ROWS:
                chunk.append(Candidate(place, *(float(rng.choice(values)) for values in self._axes(place))))
            yield chunk

    def _axes(self, place: int) -> tuple[tuple[float, ...], ...]:
        bands = any(layer.learns == "band" for layer in self._shapes[place].network.layers)
        return MARGINS, GATES, GROUPS, SCALES, REINFORCEMENTS, BANDS if bands else (0.5,)

    def fits(self, chunk: Sequence[Candidate], epochs: int, end: float) -> bool:
        """Whether training a chunk is over by about ``end`` seconds."""
        return self._log.seconds + epochs * self._seconds_an_epoch(chunk) <= end

    def last_epochs(self, chunk: Sequence[Candidate], least: int, most: int, end: float) -> int:
        """Epochs of the last round, the same for all that it compares: as many as there is time for."""
        begun = [line["epochs"] for line in self._log.lines if line["round"] == 2]
        in_time = math.floor((end - self._log.seconds) / max(1e-3, self._seconds_an_epoch(chunk)))
        return begun[0] if begun else min(max(least, in_time), most)

    def _seconds_an_epoch(self, chunk: Sequence[Candidate]) -> float:
        """As programs of these shapes went so far; the first one compiled, too."""

        def of(shape: int) -> float:
            lines = [line for line in self._log.lines if line["candidate"][0] == shape]
            return _ROWS * min(line["seconds"] / line["epochs"] for line in lines)

        return sum(of(shape) for shape in {candidate.shape for candidate in chunk})

    def train(self, level: int, chunk: Sequence[Candidate], epochs: int) -> None:
        """Trains what the file does not hold; the last round twice, on validation samples of its own each time."""
        for rows in _chunks(self._rows(level, chunk), _ROWS):
            shape = self._shapes[rows[0][0].shape]
            padded = [*rows, *[rows[0]] * (_ROWS - len(rows))]  # so that a shape has one program
            begun = time.monotonic()
            scores = self._fit(shape, padded, epochs)[: len(rows)]
            seconds = time.monotonic() - begun
            for (candidate, draw), score in zip(rows, scores, strict=True):
                self._log.add(level, candidate, draw, epochs, score, seconds / len(rows))
            self._bar.update(max(0, min(round(self._log.seconds), self._bar.total) - self._bar.n))
            self._bar.set_postfix({"round": level + 1, "best": f"{self._log.best(level):.2%}"})

    def missing(self, level: int, chunk: Sequence[Candidate]) -> list[Candidate]:
        """Those that the file does not hold whole."""
        return list(dict.fromkeys(candidate for candidate, _ in self._rows(level, chunk)))

    def _rows(self, level: int, chunk: Sequence[Candidate]) -> list[tuple[Candidate, int]]:
        """Candidates and draws that the file does not hold."""
        draws = _DRAWS if level == 2 else (0,)
        return [(c, d) for c in dict.fromkeys(chunk) for d in draws if self._log.find(level, c, d) is None]

    def _fit(self, shape: Shape, rows: Sequence[tuple[Candidate, int]], epochs: int) -> list[float]:
        batch_size = self._options["batch_size"]
        found = [settings(shape, candidate, batch_size) for candidate, _ in rows]
        law = _law(shape, batch_size)
        limits = [thresholds(shape.network, rule) for rule, _ in found]
        seeds = [draw for _, draw in rows]
        key = jax.random.key(self._seed)
        scales = [law if scale is None else scale for _, scale in found]
        result = fit(
            shape.network,
            jax.tree.map(lambda *a: jnp.stack(a), *limits),
            dataclasses.replace(shape.samples, test_x=None, test_y=None),  # type: ignore[arg-type]
            epochs=epochs,
            seeds=seeds,
            key=key,
            patience=None,
            scale=law,
            state=start_states(shape.network, limits, seeds, scales, key),
            progress=False,
            **self._options,
        )
        if result.interrupted or not result.history:
            raise KeyboardInterrupt
        balanced = "balanced_" if self._options.get("class_weight") else ""
        return result.history[f"validation_{balanced}accuracy"][:, -_TAIL:].mean(axis=1).tolist()

    def score(self, level: int, candidate: Candidate) -> float:
        return float(np.mean([line["score"] for line in self._log.of(level, candidate)]))

    def ranked(self, level: int) -> list[Candidate]:
        """Candidates of a round, the best first."""
        known = dict.fromkeys(Candidate(*line["candidate"]) for line in self._log.lines if line["round"] == level)
        return sorted(known, key=lambda candidate: -self.score(level, candidate))

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for level in (2, 1, 0):
            for candidate in self.ranked(level):
                shape = self._shapes[candidate.shape]
                rule, scale = settings(shape, candidate, self._options["batch_size"])
                rows.append(
                    {
                        "round": level + 1,
                        "validation_accuracy": self.score(level, candidate),
                        "epochs": self._log.of(level, candidate)[0]["epochs"],
                        "data": shape.data,
                        "model": shape.model,
                        **{name: getattr(candidate, name) for name in AXES[2:]},  # as multiples
                        "rule": rule,
                        "sigma": scale,
                    }
                )
        return rows


def _error(score: float, shape: Shape, options: Mapping[str, Any]) -> float:
    """The standard error of an accuracy in the last round, or of a mean of recalls."""
    counts = np.bincount(shape.samples.train_y) * options["validation"] * len(_DRAWS)
    counts = counts[counts > 0]
    samples = len(counts) ** 2 / np.sum(1 / counts) if options.get("class_weight") else counts.sum()
    return math.sqrt(score * (1 - score) / samples)


def _chunks(rows: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Rows of one shape together, at most so many, in the order of the first of each."""
    waiting: dict[int, list[Any]] = {}
    for row in rows:
        place = (row if isinstance(row, Candidate) else row[0]).shape
        waiting.setdefault(place, []).append(row)
    for of_one in waiting.values():
        yield from (of_one[start : start + size] for start in range(0, len(of_one), size))


def _law(shape: Shape, batch_size: int) -> tuple[float, ...]:
    return initial_scale(shape.network, batch_size, shape.samples.num_steps or shape.samples.train_x.shape[-2])


def _divisor(width: int, groups: float) -> int:
    return min(divisors(width), key=lambda d: abs(math.log(d * groups / width)))


def _dense(data: Dataset, widths: tuple[int, ...]) -> Model:
    return mlp(num_inputs=data.num_inputs, widths=widths, num_classes=data.num_classes)


def _recurrent(data: Dataset, width: int) -> Model:
    return rnn(num_inputs=data.num_inputs, state_width=width, output_width=width, num_classes=data.num_classes)
