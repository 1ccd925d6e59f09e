"""What the paper reports, in percent, to stand beside what we measure.

Values of tables are exact, values of figures were read off the plots (about ±0.3 points). ``QAT`` is the paper's
baseline, with and without batch normalisation.

Source: "BEP: A Binary Error Propagation Algorithm for Binary Neural Networks Training", arXiv 2512.04189v2.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Table1Row(NamedTuple):
    """One UCR problem: mean and standard deviation over 3 folds of 3 runs each, of the pooled train and test files."""

    bep: float
    bep_std: float
    qat: float
    qat_std: float
    qat_batchnorm: float
    qat_batchnorm_std: float


class Reported(NamedTuple):
    """A value of the paper that can stand beside a run."""

    accuracy: float  # percent
    std: float | None  # percent, where the paper states it
    source: str  # where it stands, and under which protocol


# Test accuracy after 50 epochs, mean of 5 runs: data set -> method -> number of layers -> one value a width.
FIGURE2_WIDTHS = (35, 75, 135, 255, 525)
FIGURE2: dict[str, dict[str, dict[int, tuple[float, ...]]]] = {
    "random-prototypes": {
        "bep": {
            2: (61.7, 70.5, 74.1, 76.1, 77.3),
            3: (58.5, 69.4, 72.4, 74.8, 76.2),
        },
        "local_rule": {
            2: (56.0, 65.0, 71.4, 74.6, 76.2),
            3: (51.7, 62.7, 70.9, 74.2, 75.8),
        },
        "qat_batchnorm": {
            2: (67.8, 71.9, 72.4, 73.6, 74.0),
            3: (65.7, 69.4, 71.0, 73.1, 73.5),
        },
        "qat": {
            2: (31.0, 44.5, 51.0, 55.0, 59.5),
            3: (14.5, 18.0, 26.0, 33.0, 41.5),
        },
    },
    "fashion-mnist": {
        "bep": {
            2: (82.65, 84.2, 84.9, 85.5, 85.85),
            3: (82.0, 83.85, 84.55, 85.5, 85.75),
        },
        "local_rule": {
            2: (81.5, 83.7, 84.7, 85.1, 85.5),
            3: (80.8, 83.4, 84.6, 85.2, 85.6),
        },
        "qat_batchnorm": {
            2: (82.6, 84.35, 85.1, 86.05, 86.7),
            3: (82.2, 84.3, 85.5, 86.0, 86.3),
        },
        "qat": {
            2: (36.0, 50.0, 57.0, 68.0, 69.0),
            3: (42.0, 53.0, 60.0, 63.0, 58.0),
        },
    },
}

# Recurrent, 1035 wide, 50 epochs, r = p_r = 0.5, ν = 0.05, γ from 15; window and thermometer bits tuned per problem.
TABLE1: dict[str, Table1Row] = {
    "ArticularyWordRecognition": Table1Row(81.28, 2.99, 51.94, 3.61, 77.62, 3.8),
    "Cricket": Table1Row(86.85, 4.19, 61.3, 6.88, 86.11, 6.03),
    "DistalPhalanxOutlineAgeGroup": Table1Row(79.78, 2.65, 73.84, 2.51, 76.94, 3.27),
    "ECG5000": Table1Row(91.4, 0.53, 88.2, 1.08, 92.71, 0.74),
    "ECGFiveDays": Table1Row(81.79, 1.97, 69.42, 2.71, 95.25, 1.45),
    "ERing": Table1Row(82.44, 4.9, 71.67, 3.89, 79.11, 4.93),
    "Earthquakes": Table1Row(80.34, 2.94, 79.83, 2.83, 77.01, 2.96),
    "Epilepsy2": Table1Row(92.45, 0.53, 88.82, 0.58, 93.72, 0.42),
    "FreezerRegularTrain": Table1Row(78.21, 1.17, 75.26, 1.56, 85.92, 1.06),
    "FreezerSmallTrain": Table1Row(78.16, 1.46, 75.02, 1.44, 85.6, 1.5),
    "GunPointAgeSpan": Table1Row(86.18, 2.27, 81.08, 4.53, 84.11, 2.55),
    "GunPointOldVersusYoung": Table1Row(94.01, 1.57, 91.87, 2.91, 93.79, 1.26),
    "InsectEPGRegularTrain": Table1Row(99.14, 0.71, 94.64, 2.97, 99.04, 0.64),
    "InsectEPGSmallTrain": Table1Row(99.37, 0.56, 96.62, 2.43, 98.75, 0.83),
    "ItalyPowerDemand": Table1Row(94.65, 1.22, 83.18, 2.01, 96.23, 1.01),
    "JapaneseVowels": Table1Row(95.47, 1.24, 84.06, 2.92, 96.25, 1.01),
    "MelbournePedestrian": Table1Row(73.03, 4.59, 42.83, 2.35, 90.91, 0.9),
    "MoteStrain": Table1Row(78.62, 2.29, 74.42, 1.7, 79.82, 1.81),
    "MotionSenseHAR": Table1Row(74.25, 2.07, 67.97, 1.8, 77.36, 1.89),
    "PEMS-SF": Table1Row(86.13, 3.66, 60.69, 4.55, 85.83, 2.43),
    "PenDigits": Table1Row(97.13, 0.21, 66.99, 1.44, 99.0, 0.21),
    "ProximalPhalanxOutlineAgeGroup": Table1Row(82.64, 3.08, 77.24, 3.64, 82.2, 2.27),
    "ProximalPhalanxOutlineCorrect": Table1Row(78.26, 1.09, 72.76, 2.89, 75.68, 2.66),
    "ProximalPhalanxTW": Table1Row(79.83, 2.66, 74.26, 5.11, 75.59, 3.03),
    "SmoothSubspace": Table1Row(89.0, 4.24, 58.0, 4.83, 90.33, 4.08),
    "SonyAIBORobotSurface1": Table1Row(75.68, 2.73, 64.14, 2.05, 80.68, 3.04),
    "SonyAIBORobotSurface2": Table1Row(82.04, 2.37, 73.1, 1.71, 84.59, 2.62),
    "StarLightCurves": Table1Row(82.32, 0.34, 81.96, 0.49, 82.68, 0.46),
    "Tiselac": Table1Row(81.63, 0.47, 64.52, 0.98, 84.81, 0.25),
    "Wafer": Table1Row(95.92, 0.61, 95.25, 0.64, 97.93, 0.24),
}

# Validation accuracy by thermometer bits; settings as in Table 1: problem -> one value for each entry of TABLE3_BITS.
TABLE3_BITS = (1, 10, 20, 50, 100)
TABLE3: dict[str, tuple[float, ...]] = {
    "ArticularyWordRecognition": (48.98, 81.28, 79.37, 81.16, 81.45),
    "DistalPhalanxOutlineAgeGroup": (77.18, 78.92, 78.11, 79.78, 79.78),
    "ItalyPowerDemand": (73.54, 94.65, 94.59, 94.34, 93.92),
    "PenDigits": (61.6, 96.66, 96.79, 96.88, 97.13),
    "ProximalPhalanxOutlineAgeGroup": (77.52, 82.31, 82.37, 82.7, 82.53),
}

# S-MNIST, 1875 wide, 50 epochs of batches of 100, 3 runs, r = p_r = 0.5, γ from 15; validation accuracy: ν -> one value
# for each window length (how many equal slices an image is cut into).
FIGURE3_WINDOWS = (2, 4, 8, 28)
FIGURE3: dict[float, tuple[float, ...]] = {
    0.001: (95.5, 94.5, 88.0, 46.5),
    0.005: (96.0, 96.2, 95.7, 75.5),
    0.01: (96.0, 96.5, 96.3, 92.5),
    0.1: (95.8, 93.0, 92.5, 86.5),
    0.5: (96.0, 73.0, 47.0, 50.5),
}

# S-MNIST with 28 slices, settings as in Figure 3; validation accuracy: backward horizon -> value.
FIGURE8_WINDOW = 28
FIGURE8: dict[int, float] = {2: 54.5, 4: 67.0, 8: 73.0, 28: 93.0}


def reported(dataset: str, model: str, widths: Sequence[int], split: str = "official") -> Reported | None:
    """The paper's test accuracy of BEP for this data and these widths, or None where it has none.

    Args:
      dataset: a name that `bep_jax.datasets.load` knows.
      model: "mlp" or "rnn".
      widths: neurons of each layer; recurrent: state and output.
      split: of "fashion-mnist".

    Returns:
      The value, and in ``source`` where it stands and how its protocol differs from a run on this data.

    Example:
      >>> reported("random-prototypes", "mlp", (525, 525)).accuracy
      77.3
      >>> reported("random-prototypes", "mlp", (525, 35)) is None
      True
    """
    if model == "mlp" and dataset in FIGURE2:
        values = FIGURE2[dataset]["bep"].get(len(widths))
        if values is None or len(set(widths)) > 1 or widths[0] not in FIGURE2_WIDTHS:
            return None
        source = "Figure 2, 5 runs, 50 epochs"
        if dataset == "fashion-mnist" and split != "paper":
            source += "; on its own, easier split (--split paper)"
        return Reported(values[FIGURE2_WIDTHS.index(widths[0])], None, source)
    row = TABLE1.get(dataset.removeprefix("ucr/")) if dataset.startswith("ucr/") else None
    if model == "rnn" and row is not None and set(widths) == {1035}:
        return Reported(row.bep, row.bep_std, "Table 1, 3 folds of 3 runs, window and bits tuned")
    return None
