"""UCR problems read by `train` with no flags but their names, beside a random forest and MiniRocket on the same folds.

``python -m benchmarks.series [PROBLEM ...]`` trains the two for the folds of these problems that `defaults.sh series`
has left results of, one line each in results/defaults/references.jsonl, then writes results/defaults/series.md, and
results/convolution/series.md of what `convolution.sh` has left; "none" trains nothing. The forest reads series
flattened; what is missing in front of shorter series is 0 for both.
"""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from aeon.classification.convolution_based import MiniRocketClassifier
from sklearn.ensemble import RandomForestClassifier

import bep_jax as bep
from benchmarks.peers.data import channels_first
from bep_jax.files import runs

RESULTS = pathlib.Path(__file__).parent / "results" / "defaults"
REFERENCES, TABLE = RESULTS / "references.jsonl", RESULTS / "series.md"
CONVOLUTIONS = RESULTS.parent / "convolution" / "series"
_MISSING = {"forest": np.nan, "rocket": np.nan}  # of a fold where they were not trained

_HEADER = """\
# Series with no flags

`benchmarks/defaults.sh series`: `train --dataset ucr/<Problem> --fold F` and nothing else but the number of seeds, then
`python -m benchmarks.series`. Both files of a problem pooled, stratified folds of three; test accuracy in percent after
the last epoch, mean over folds and seeds; what reads the series, validation samples of the training folds decide. Runs
of before chose the best of four, whose counts of kernels had 16 levels and which had none past the convolution."""

_CONVOLUTIONS = """\
# Series by convolution

`FOLDS="0 1 2" sh benchmarks/convolution.sh`: `train --dataset ucr/<Problem> --fold F --model conv`, patch, stride,
channels and rule by law, counts of kernels past the convolution, then `python -m benchmarks.series none`. Beside it
`train` with no flags, where validation samples decide what reads the series, and the two others on the same folds; test
accuracy in percent, mean over folds and seeds. As one: the scores of a fold's networks are added up."""


def references(problem: str, fold: int) -> dict[str, Any]:
    """Test accuracy of both on one fold."""
    data = bep.datasets.load(f"ucr/{problem}", fold=fold, raw=True)
    train_x, test_x = (np.nan_to_num(x) for x in (data.train_x, data.test_x))
    forest = RandomForestClassifier(500, n_jobs=1, random_state=0)
    forest.fit(train_x.reshape(len(train_x), -1), data.train_y)
    rocket = MiniRocketClassifier(random_state=0)
    rocket.fit(channels_first(train_x), data.train_y)
    return {
        "problem": problem,
        "fold": fold,
        "forest": forest.score(test_x.reshape(len(test_x), -1), data.test_y),
        "rocket": float(np.mean(rocket.predict(channels_first(test_x)) == data.test_y)),
    }


def table(found: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]) -> str:
    """A row a problem, and their mean."""
    beside = _by_place(lines)
    rows, means = [], []
    for problem in sorted({_name(result) for result in found}):
        own = [result for result in found if _name(result) == problem]
        accuracies = np.concatenate([result["test_accuracy"] for result in own])
        others = [beside.get((problem, result["config"]["fold"]), _MISSING) for result in own]
        means.append([accuracies.mean(), *(np.mean([line[name] for line in others]) for name in _MISSING)])
        taken = ", ".join(dict.fromkeys(result["config"]["model"] for result in own))
        folds = ", ".join(str(result["config"]["fold"]) for result in own)
        before = str(sum(len(result["test_accuracy"]) for result in own if not _of_today(result)))
        rows.append((problem, *map(_percent, means[-1]), taken, folds, str(len(accuracies)), before))
    rows.append((*_mean_of(means), "", "", "", ""))
    header = ("problem", "BEP", "random forest", "MiniRocket", "network taken", "folds", "runs", "of before")
    return f"{_HEADER}\n\n{runs.markdown(header, rows)}\n"


def convolutions(found: Sequence[dict[str, Any]], usual: Sequence[dict[str, Any]], lines: Sequence[dict]) -> str:
    """A row a problem with its convolutions, those of its folds with no flags, and the others there; and their mean."""
    places = [(_name(result), result["config"]["fold"]) for result in found]
    beside = _by_place(lines)
    plain = {(_name(result), result["config"]["fold"]): result["mean"] for result in usual}
    rows, means = [], []
    for problem in sorted({name for name, _ in places}):
        own = [result for result in found if _name(result) == problem]
        folds = [result["config"]["fold"] for result in own]
        accuracies = np.concatenate([result["test_accuracy"] for result in own])
        others = [beside.get((problem, fold), _MISSING) for fold in folds]
        means.append(
            [
                accuracies.mean(),
                np.mean([result["ensemble_test_accuracy"] for result in own]),
                np.mean([plain.get((problem, fold), np.nan) for fold in folds]),
                *(np.mean([line[name] for line in others]) for name in _MISSING),
            ]
        )
        rows.append((problem, *map(_percent, means[-1]), ", ".join(map(str, folds)), str(len(accuracies))))
    rows.append((*_mean_of(means), "", ""))
    header = ("problem", "convolution", "as one", "no flags", "random forest", "MiniRocket", "folds", "runs")
    return f"{_CONVOLUTIONS}\n\n{runs.markdown(header, rows)}\n"


def _of_today(result: dict[str, Any]) -> bool:
    """Whether the convolution came first, or was taken with counts beside it."""
    return result["config"]["whole"] == "both" or next(iter(result["network"]["validation_accuracy"])) == "conv"


def _mean_of(means: Sequence[Sequence[float]]) -> tuple[str, ...]:
    """The last row's name and figures."""
    mean = (f"**{_percent(value)}**" if np.isfinite(value) else "" for value in np.mean(means, axis=0))
    return (f"**mean of {len(means)}**", *mean)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if np.isfinite(share) else ""


def _by_place(lines: Sequence[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(line["problem"], line["fold"]): line for line in lines}


def _name(result: dict[str, Any]) -> str:
    return result["config"]["dataset"].removeprefix("ucr/")


def main(problems: Sequence[str]) -> None:
    """Trains what is missing and writes the table."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    found = [r for r in results if r["config"]["dataset"].startswith("ucr/") and r["config"]["fold"] is not None]
    lines = [json.loads(line) for line in REFERENCES.read_text().splitlines()] if REFERENCES.exists() else []
    for result in found:
        place = {"problem": _name(result), "fold": result["config"]["fold"]}
        if (problems and place["problem"] not in problems) or any(place.items() <= line.items() for line in lines):
            continue
        lines.append(references(**place))
        with REFERENCES.open("a") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        print(lines[-1], flush=True)
    TABLE.write_text(table(found, lines))
    own = [json.loads(path.read_text()) for path in sorted(CONVOLUTIONS.glob("*.json"))]
    (CONVOLUTIONS.parent / "series.md").write_text(convolutions(own, found, lines))


if __name__ == "__main__":
    main(sys.argv[1:])
