"""Series that begin anywhere and run faster or slower: what convolutions are for.

``python -m benchmarks.moved_series [PROBLEM ...]`` moves every series of five UCR problems, those to train on and those
to test on, and lets `train` read them in every way, one line each in results/convolution/moved.jsonl; what is
known is not run again. Then it writes results/convolution/moved.md.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

import bep_jax as bep
from benchmarks import series
from bep_jax.files import runs

RESULTS = pathlib.Path(__file__).parent / "results" / "convolution"
LINES, TABLE = RESULTS / "moved.jsonl", RESULTS / "moved.md"
PROBLEMS = ("ItalyPowerDemand", "SonyAIBORobotSurface1", "MoteStrain", "ECGFiveDays", "GunPointAgeSpan")
READERS = {
    "convolution": ("--model", "conv"),
    "dense": ("--model", "mlp"),
    "counts of kernels": ("--model", "rocket"),
    "no flags": (),
    "recurrent": ("--model", "rnn"),
}
LONG = 40  # steps from which a recurrent network takes hours
SEEDS, FOLD = 3, 0
_HEADER = f"""\
# Series that begin anywhere

`python -m benchmarks.moved_series`. Every series, to train on and to test on, is shifted by up to a fifth of its steps
either way and read at 0.8 to 1.25 of its speed, drawn for each; steps before its first and after its last repeat them.
Both files of a problem pooled, first of three stratified folds, {SEEDS} networks, no flag but `--model`; recurrent
networks up to {LONG} steps. Test accuracy in percent; in brackets what the same networks reach on the series as
they were, where [series.md](series.md) or [series with no flags](../defaults/series.md) has that fold."""


def moved(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Series float ``[n, T, F]``, each shifted and stretched by numbers of its own, between steps by straight lines."""
    steps = np.arange(x.shape[1], dtype=float)
    middle = steps.mean()
    speed = np.exp(rng.uniform(np.log(0.8), np.log(1.25), len(x)))
    shift = rng.uniform(-0.2, 0.2, len(x)) * x.shape[1]
    at = (steps - middle) * speed[:, None] + middle + shift[:, None]
    channels = np.moveaxis(x, 2, 1)
    out = [[np.interp(own, steps, channel) for channel in one] for own, one in zip(at, channels, strict=True)]
    return np.moveaxis(np.array(out), 1, 2)


def write(problem: str, folder: pathlib.Path) -> int:
    """Both files of a problem, moved, as the archive writes them; how many steps they have."""
    rng = np.random.default_rng([11, PROBLEMS.index(problem)])
    data = bep.datasets.load(f"ucr/{problem}", raw=True)
    for part, x, y in (("TRAIN", data.train_x, data.train_y), ("TEST", data.test_x, data.test_y)):
        lines = [f"@problemName {problem}", f"@classLabel true {' '.join(data.classes)}", "@data"]
        for one, label in zip(moved(np.asarray(x), rng), y, strict=True):
            channels = [",".join(f"{value:.6g}" for value in channel) for channel in one.T]
            lines.append(":".join([*channels, data.classes[label]]))
        (folder / f"{problem}_{part}.ts").write_text("\n".join(lines) + "\n")
    return data.train_x.shape[1]


def train(problem: str, reader: str, folder: pathlib.Path) -> dict[str, Any]:
    """What `train` says at its end, on the moved series of a folder."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "bep_jax", "train", "--dataset", f"ucr/{problem}", "--data-dir", str(folder)]
    command += ["--fold", str(FOLD), "--seeds", str(SEEDS), "--no-progress", "--out", str(folder / "run")]
    subprocess.run([*command, "--overwrite", "--json", str(report), *READERS[reader]], check=True, stdout=sys.stderr)
    found = json.loads(report.read_text())
    kept = ("test_accuracy", "validation", "ensemble_test_accuracy", "chosen", "network", "versions", "platform")
    return {"problem": problem, "reader": reader, "model": found["config"]["model"], **{k: found[k] for k in kept}}


def table(lines: Sequence[dict[str, Any]]) -> str:
    """A row a problem, a column a reader, and the means of what is complete."""
    mean = {(line["problem"], line["reader"]): float(np.mean(line["test_accuracy"])) for line in lines}
    still = {
        name: _unmoved(folder) for name, folder in (("convolution", series.CONVOLUTIONS), ("no flags", series.RESULTS))
    }
    rows = []
    for problem in PROBLEMS:
        cells = []
        for reader in READERS:
            before = still.get(reader, {}).get(problem)
            cell = f"{100 * mean[problem, reader]:.1f}" if (problem, reader) in mean else ""
            cells.append(cell + (f" ({100 * before:.1f})" if cell and before is not None else ""))
        rows.append((problem, *cells))
    whole = [[mean.get((problem, reader), np.nan) for problem in PROBLEMS] for reader in READERS]
    means = [f"**{100 * np.mean(own):.1f}**" if np.isfinite(own).all() else "" for own in whole]
    rows.append((f"**mean of {len(PROBLEMS)}**", *means))
    return f"{_HEADER}\n\n{runs.markdown(('problem', *READERS), rows)}\n"


def _unmoved(folder: pathlib.Path) -> dict[str, float]:
    """Mean accuracy by problem, of the fold's report in a folder."""
    paths = {problem: folder / f"{problem}-{FOLD}.json" for problem in PROBLEMS}
    return {problem: json.loads(path.read_text())["mean"] for problem, path in paths.items() if path.exists()}


def main(problems: Sequence[str]) -> None:
    """Trains what is missing and writes the table."""
    lines = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []
    known = {(line["problem"], line["reader"]) for line in lines}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for problem in problems or PROBLEMS:
            missing = [reader for reader in READERS if (problem, reader) not in known]
            if missing and write(problem, folder) > LONG:
                missing = [reader for reader in missing if reader != "recurrent"]
            for reader in missing:
                lines.append(train(problem, reader, folder))
                with LINES.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    TABLE.write_text(table(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
