"""Series of unequal length as a user has them, that no archive holds: ``python -m benchmarks.own_series DIR``.

Writes DIR/<Name>_TRAIN.ts and _TEST.ts of three sets, always the same ones:

* Gesture: three channels of 15 to 59 steps; three classes by frequency, a derivative, noise a hundred times as large;
* Bursts: one channel of 40 to 90 steps; the class is how many bursts it holds, one to four, anywhere;
* Valve: two channels of 60 to 200 steps; six kinds of event (opening, closing, a ramp, ringing, a spike, a dropout)
  anywhere on a drifting signal, and a second sensor that follows it late.
"""

import pathlib
import sys
from collections.abc import Callable

import numpy as np

_MISSING = 0.01


def gesture(rng: np.random.Generator, label: int) -> np.ndarray:
    """float64 ``[3, T]``."""
    steps = rng.integers(15, 60)
    wave = np.sin(np.arange(steps) * (0.3, 0.8, 1.6)[label] + rng.uniform(0, 6)) + rng.normal(0, 0.3, steps)
    return np.stack([wave, np.gradient(wave), rng.normal(0, 100, steps)])


def bursts(rng: np.random.Generator, label: int) -> np.ndarray:
    """float64 ``[1, T]``."""
    steps = rng.integers(40, 91)
    series = rng.normal(0, 0.3, steps)
    # As many of ten slots: bursts never touch.
    for slot in rng.choice(10, label + 1, replace=False):
        first = 2 + slot * (steps - 4) // 10
        series[first : first + 3] += rng.uniform(2, 3)
    return series[None]


def valve(rng: np.random.Generator, label: int) -> np.ndarray:
    """float64 ``[2, T]``."""
    steps = rng.integers(60, 201)
    at = rng.integers(10, steps - 35)
    after = np.arange(steps) - at
    event = (
        lambda: 1.0 * (after >= 0),
        lambda: -1.0 * (after >= 0),
        lambda: np.clip(after / 25, 0, 1),
        lambda: (after >= 0) * np.exp(-np.maximum(after, 0) / 12) * np.sin(after * 1.2),
        lambda: 2.0 * ((after >= 0) & (after < 2)),
        lambda: -1.0 * ((after >= 0) & (after < 15)),
    )[label]()
    drift = np.cumsum(rng.normal(0, 0.01, steps)) + rng.normal(0, 0.2)
    first = rng.uniform(0.8, 1.2) * event + drift + rng.normal(0, 0.08, steps)
    second = 0.5 * np.convolve(first, np.full(5, 0.2))[:steps] + rng.normal(0, 0.05, steps)
    return 20 + 5 * np.stack([first, second])


# How to draw one, its classes, and how many there are to train and to test on.
SETS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], tuple[str, ...], int, int]] = {
    "Gesture": (gesture, ("circle", "wave", "tap"), 150, 90),
    "Bursts": (bursts, ("one", "two", "three", "four"), 400, 200),
    "Valve": (valve, ("opens", "closes", "ramp", "rings", "spike", "dropout"), 600, 300),
}


def write(folder: pathlib.Path) -> None:
    """The files of all sets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (draw, classes, *sizes) in SETS.items():
        rng = np.random.default_rng([7, len(classes)])
        for part, size in zip(("TRAIN", "TEST"), sizes, strict=True):
            lines = [f"@problemName {name}", "@missing true", f"@classLabel true {' '.join(classes)}", "@data"]
            for i in range(size):
                label = i % len(classes)
                channels = [
                    ",".join("?" if rng.random() < _MISSING else f"{value:.4f}" for value in channel)
                    for channel in draw(rng, label)
                ]
                lines.append(":".join([*channels, classes[label]]))
            (folder / f"{name}_{part}.ts").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
