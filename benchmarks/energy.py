"""Energy of a sample, counted: operations and bytes moved by each method, at stated prices. Nothing is measured.

Prices: M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, Fig. 1.1.9: 45 nm, 0.9 V.
"""

import collections
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import bep_jax as bep
from benchmarks import programs, timing
from benchmarks.programs import Problem
from benchmarks.report import Column, Report

# Picojoules. A word is 32 bits; any operation on one that is no multiplication costs an addition.
PRICES = {"word": 0.1, "multiply": 3.1, "multiply int8": 0.2, "add float": 0.9, "multiply float": 3.7}
# Picojoules a byte: a 64-bit access to 1 MB of SRAM takes 100 pJ, to DRAM at least 1300.
ON_CHIP, DRAM = 100 / 8, 1300 / 8
WORD = 32

# Word operations of 32 ±1 multiply-adds: exclusive or, population count, addition; with a mask one more.
_PLAIN, _MASKED = 3, 4
# For every weight and step: the draw (two sums and, at the price of 32 bits, a multiplication of 16), its comparison,
# the sum, the sign, the reinforcement, two comparisons to saturate.
_LEARN = {"word": 8, "multiply": 1}
# Hidden weight read and written, visible bits written both ways.
_LEARN_BYTES = 2 + 2 + 2 / 8
# For every neuron: size, gate, winner of its group, signs, packing; sums written and read, four kinds of bits, too.
_NEURON, _NEURON_BYTES = 8, 2 + 2 + 2 * 4 / 8
# Of a word of a patch that is cut out of an image: two shifts and an or; written and read. Float reads it in place.
_CUT, _CUT_BYTES = 3, 2 * 4
# Adam, a division and a root at the price of a multiplication, and cutting to [-1, 1].
_ADAM = {"multiply float": 10, "add float": 6}
# Weight and two moments read and written, the gradient written and read.
_ADAM_BYTES = 4 * (3 * 2 + 2)
# Gradient of the sign; sums, activations and gradients written, read by one pass or two.
_FLOAT_NEURON, _FLOAT_NEURON_BYTES = 4, 4 * (2 + 3 + 3)
# The kind count: activations are bits.
_KIND_NEURON_BYTES = 4 * (2 + 3) + 3 / 8

_TREES, _DEPTH = 300, 15
_CLAUSES = 2000

COLUMNS = (
    Column("what", "what"),
    Column("name", "network"),
    Column("method", "method"),
    Column("batch", "batch"),
    Column("signs", "±1 multiply-adds"),
    Column("word", "other word operations"),
    Column("multiply", "integer multiplications"),
    Column("add float", "float additions"),
    Column("multiply float", "float multiplications"),
    Column("bytes", "bytes moved"),
    Column("operations", "operations, nJ", 1),
    Column("on_chip", "with bytes on chip, nJ", 1),
    Column("dram", "with bytes in DRAM, nJ", 1),
    Column("ratio", "operations, float32 over it", 1, "×"),
    Column("ratio_on_chip", "on chip, float32 over it", 1, "×"),
    Column("ratio_dram", "DRAM, float32 over it", 1, "×"),
)


class Count(NamedTuple):
    """What a sample takes."""

    operations: Mapping[str, float]  # by names of PRICES; "signs" and "masked signs" are ±1 multiply-adds
    bytes: float


def run(options, clock: timing.Clock) -> Report:
    """Counts training and inference of an MLP, a convolution and a recurrent network."""
    report = Report(
        "Energy of a sample, counted",
        (
            "Not measured: operations and bytes of the algorithms, at the prices of Horowitz, ISSCC 2014 (45 nm, "
            "0.9 V): 32-bit integer addition 0.1 pJ, multiplication 3.1 pJ (8 bits: 0.2), float32 addition 0.9, "
            "multiplication 3.7; 64 bits from 1 MB of SRAM 100 pJ, from DRAM 1.3 nJ, the least that it states. Every "
            "other operation on a 32-bit word is priced as an addition: 32 multiply-adds of ±1 are three (exclusive "
            "or, population count, addition), four where a mask takes part. What fetching and decoding instructions "
            "costs, more than an addition in any processor, is left out for all alike.",
            "Training, BEP: as `bep.summary` counts, every neuron as if it learned; every weight once a step its draw "
            "(two integer multiplications), update, reinforcement and saturation; weights read and written once a "
            "step, visible bits once a pass and time step; a convolution's patches cut twice, three operations a word. "
            "Float32: straight-through training as it is run, all products in float32, Adam. Kind to float: forward "
            "and stored activations binary as in BEP, products of float gradients with ±1 as additions. Inference: one "
            "sample alone; QAT without batch normalisation takes what BEP takes. "
            f"Forest: {_TREES} trees, {_DEPTH} comparisons each, 16 bytes a node; Tsetlin machine: "
            f"{_CLAUSES} clauses over all literals and their negations, 16-bit weights; both for the MLP's inputs.",
            "The paper's claim is cheaper training (its Table 2 estimates 10 gates an operation against 10⁴ in the "
            "update). Here a step is counted with everything that it does: the ratios of training are what is left of "
            "the claim. Where bytes come from DRAM, the ratio is that of bytes; where batches are small, the draws and "
            "the traffic of hidden weights decide.",
        ),
        COLUMNS,
    )
    problems = [programs.mlp(100), programs.mlp(1), programs.conv(100), programs.rnn(100)]
    if options.quick:
        problems = [programs.tiny_mlp(), programs.tiny_conv()]
    for problem in problems:
        _add(report, options, "training", problem, _TRAINING)
    for problem in problems:
        if options.quick or (
            problem.batch == 100 and not problem.time_steps
        ):  # the ratios of a recurrent one are equal
            _add(report, options, "inference", problem._replace(batch=1), _INFERENCE)
    return report


def _add(report: Report, options, what: str, problem: Problem, methods: dict[str, Callable]) -> None:
    name = problem.name.rsplit(",", 1)[0]
    if options.only not in name:
        return
    counts = {method: count(problem) for method, count in methods.items()}
    energies = {method: energy(count) for method, count in counts.items()}
    for method, count in counts.items():
        if count is None:
            continue
        operations = {
            "signs": count.operations.get("signs", 0) + count.operations.get("masked signs", 0),
            "word": count.operations.get("word", 0),
            "multiply": count.operations.get("multiply", 0) + count.operations.get("multiply int8", 0),
            **{kind: count.operations.get(kind, 0) for kind in ("add float", "multiply float")},
        }
        energies_of = dict(zip(("operations", "on_chip", "dram"), energies[method], strict=True))
        ratios = [wide / own for wide, own in zip(energies["float32"], energies[method], strict=True)]
        report.add(
            {
                "what": what,
                "name": name,
                "method": method,
                "batch": problem.batch,
                **{kind: round(number) for kind, number in operations.items()},
                "bytes": round(count.bytes),
                **energies_of,
                **dict(zip(("ratio", "ratio_on_chip", "ratio_dram"), ratios, strict=True)),
            }
        )


def energy(count: Count | None) -> tuple[float, float, float]:
    """Nanojoules: operations alone, with bytes on chip, with bytes in DRAM."""
    if count is None:
        return 0.0, 0.0, 0.0
    words = {"signs": _PLAIN / WORD, "masked signs": _MASKED / WORD}
    picojoules = sum(
        number * (PRICES["word"] * words[kind] if kind in words else PRICES[kind])
        for kind, number in count.operations.items()
    )
    return picojoules / 1e3, (picojoules + ON_CHIP * count.bytes) / 1e3, (picojoules + DRAM * count.bytes) / 1e3


def _bep(problem: Problem) -> Count:
    shapes, batch = _Shapes(problem), problem.batch
    operations = collections.Counter({"signs": shapes.forward, "masked signs": shapes.backward + shapes.update})
    operations["word"] += _NEURON * shapes.neurons + 2 * _CUT * shapes.cut
    for kind, number in _LEARN.items():
        operations[kind] += number * shapes.hidden / batch
    moved = (_LEARN_BYTES * shapes.hidden + 2 * shapes.read / 8) / batch
    moved += _NEURON_BYTES * shapes.neurons + 2 * _CUT_BYTES * shapes.cut
    return Count(operations, moved + 2 * shapes.inputs / 8)


def _float32(problem: Problem, kind: bool = False) -> Count:
    shapes, batch = _Shapes(problem), problem.batch
    products = shapes.forward + shapes.backward + shapes.update + 2 * shapes.fixed  # the classifier is trained, too
    gradients = products - shapes.forward
    operations = collections.Counter({"add float": _FLOAT_NEURON * shapes.neurons})
    if kind:
        operations += {"signs": shapes.forward, "add float": gradients}
    else:
        operations += {"add float": products, "multiply float": products}
    for name, number in _ADAM.items():
        operations[name] += number * (shapes.hidden + shapes.fixed) / batch
    width = 1 / 8 if kind else 4
    moved = (_ADAM_BYTES * (shapes.hidden + shapes.fixed) + 2 * width * shapes.read) / batch
    neuron_bytes = _KIND_NEURON_BYTES if kind else _FLOAT_NEURON_BYTES
    return Count(operations, moved + neuron_bytes * shapes.neurons + 2 * shapes.inputs / 8)


def _inference(bits: int, of_product: dict[str, float]) -> Callable[[Problem], Count]:
    def count(problem: Problem) -> Count:
        shapes = _Shapes(problem)
        operations = {kind: number * shapes.forward for kind, number in of_product.items()}
        cut = shapes.cut if bits == 1 else 0
        operations["word"] = operations.get("word", 0) + shapes.neurons + _CUT * cut
        moved = bits / 8 * (shapes.read + 2 * shapes.neurons + shapes.inputs)
        return Count(operations, moved + _CUT_BYTES * cut)

    return count


def _logistic(problem: Problem) -> Count | None:
    if not problem.name.startswith("MLP"):
        return None
    products = problem.model.num_inputs * problem.model.num_classes
    return Count({"add float": products, "multiply float": products}, 4 * products + problem.model.num_inputs)


def _forest(problem: Problem) -> Count | None:
    if not problem.name.startswith("MLP"):
        return None
    return Count({"word": 2 * _TREES * _DEPTH}, 16 * _TREES * _DEPTH)


def _tsetlin(problem: Problem) -> Count | None:
    """Every clause: and, comparison of every word of literals; 16-bit weights of all classes."""
    if not problem.name.startswith("MLP"):
        return None
    words = _CLAUSES * 2 * problem.model.num_inputs / WORD
    weights = _CLAUSES * problem.model.num_classes
    return Count({"word": 2 * words + weights}, 4 * words + 2 * weights)


class _Shapes:
    """The sizes of a problem that every count needs, a sample."""

    def __init__(self, problem: Problem):
        model, steps = problem.model, problem.time_steps or 1
        summary = bep.summary(model)
        self.forward, self.backward, self.update = summary.operations(steps)
        self.hidden = sum(n * k for n, k in model.matrix_shapes)
        self.fixed = summary.weights - self.hidden
        # Weights read by a pass: a recurrent matrix at every time step.
        self.read = sum(row.weights * (steps if row.each_step else 1) for row in summary.rows)
        positions = [layer.positions(problem.time_steps) for layer in model.layers]
        self.neurons = sum(m * n for m, n in zip(positions, model.widths, strict=True)) + model.num_classes
        self.inputs = model.num_inputs * steps
        patches = [layer for layer in model.layers if isinstance(layer, bep.Convolution)]
        self.cut = sum(layer.positions() * math.ceil(layer.gate_fan_in / WORD) for layer in patches)  # words


_TRAINING: dict[str, Callable[[Problem], Count | None]] = {
    "BEP": _bep,
    "float32": _float32,
    "float32, kind to float": lambda problem: _float32(problem, kind=True),
}
_INFERENCE: dict[str, Callable[[Problem], Count | None]] = {
    "BEP": _inference(1, {"signs": 1}),
    "int8": _inference(8, {"multiply int8": 1, "word": 1}),
    "float32": _inference(32, {"add float": 1, "multiply float": 1}),
    "logistic regression": _logistic,
    "random forest": _forest,
    "Tsetlin machine": _tsetlin,
}
