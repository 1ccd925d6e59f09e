"""Learning on a microcontroller: the exported C beside the same network in float32, on an emulated Cortex-M3.

Instructions are counted by the emulator, the same on every host; bytes are those of the linked program and of painted
stack. The task is that of examples/microcontroller: a camera mounted on its side, a network that knew digits upright.
"""

import importlib.util
import itertools
import pathlib
import re
import shutil
import subprocess
import tempfile
import types
from typing import Any

import jax
import numpy as np

import bep_jax as bep
from benchmarks import timing
from benchmarks.report import Column, Report

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "microcontroller"
FLOAT32 = pathlib.Path(__file__).parent / "device_c" / "float32.h"
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm", "make")
COLUMNS = (
    Column("name", "network"),
    Column("learner", "learner"),
    Column("cpu", "core"),
    Column("ram", "RAM, bytes"),
    Column("flash", "flash, bytes"),
    Column("learn", "instructions, learn"),
    Column("predict", "instructions, predict"),
    Column("learn_16", "ms a learned sample, 16 MHz", 2),
    Column("learn_64", "64 MHz", 2),
    Column("own_0", "turned, before", 1),
    Column("own_10", "after 10", 1),
    Column("own_50", "50", 1),
    Column("own_200", "200", 1),
    Column("own_1000", "5 × 200", 1),
    Column("old_0", "upright, before", 1),
    Column("old_200", "after 200", 1),
    Column("old_1000", "5 × 200", 1),
)
# 64-35-35 is the example; the other is for its budget: the task asks for no more.
NETWORKS = {"64-35-35": (35, 35), "64-105-105": (105, 105)}
_RATES = {"64-35-35": 0.01, "64-105-105": 0.01}


def run(options, clock: timing.Clock) -> Report:
    """Builds, emulates, reads."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"device: skipped, there is no {' and no '.join(missing)}; Debian has them in packages.")
    report = Report(
        "Learning on a microcontroller",
        (
            "Five classes, batches of 8; BEP with hidden weights of 8 bits, exported by `bep.to_c`; float32: the same "
            "network with latent float weights, straight-through gradients, a hinge on the margin and Adam "
            "(`benchmarks/device_c/float32.h`), its sums and activations integers. Compiled with gcc -Os, floats in "
            "software as these cores have them. RAM: static memory and the stack that was touched, all told. Flash: "
            "code, constants and first weights, without the samples. Milliseconds take an instruction for a clock; "
            "real cores take more for loads, branches and slow flash. Accuracy in percent on 200 test samples, before "
            "and after learning from own samples one by one, then four times more. Recurrent: the image row by row, 4 "
            "bits a pixel.",
        ),
        COLUMNS,
    )
    example = _example()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file in ("Makefile", "main.c", "startup.c", "board.h", "device.ld"):
            shutil.copy(EXAMPLE / file, folder)
        shutil.copy(FLOAT32, folder)
        (folder / "samples.h").write_text(example.samples_text(1 if options.quick else example.PASSES))
        for network, widths in list(NETWORKS.items())[: 1 if options.quick else None]:
            if options.only not in network and options.only != "MLP":
                continue
            model, rule, params, encoder = example.network(widths)
            header = bep.to_c(model, params, encoder, rule=rule, batch_size=example.BATCH_SIZE)
            (folder / "model.h").write_text(header)
            (folder / "float32_model.h").write_text(float32_text(model, params, encoder, example, _RATES[network]))
            for learner, define in (("BEP", ""), ("float32", "-DLEARNER='\"float32.h\"'")):
                for cpu in ("cortex-m3", "cortex-m0") if learner == "BEP" else ("cortex-m3",):
                    report.add({"name": network, "learner": learner, "cpu": cpu, **emulate(folder, cpu, define)})
        if "recurrent" in (options.only or "recurrent") and not options.quick:
            model, rule, params, encoder = recurrent(example)
            header = bep.to_c(model, params, encoder, rule=rule, batch_size=example.BATCH_SIZE, window=8)
            (folder / "model.h").write_text(header)
            for cpu in ("cortex-m3", "cortex-m0"):
                row = emulate(folder, cpu, "")
                report.add({"name": "recurrent, 8 rows, 32-35-35", "learner": "BEP", "cpu": cpu, **row})
    return report


def recurrent(example):
    """A network that reads an image row by row, trained on upright ones."""
    (x, y), (x_test, y_test) = example.parts()["train"], example.parts()["upright"]
    x, x_test = x.reshape(-1, 8, 8), x_test.reshape(-1, 8, 8)
    encoder = bep.encode.fit_thermometer(x, 4)
    model = bep.rnn(num_inputs=encoder.num_bits, state_width=35, output_width=35, num_classes=example.CLASSES)
    rule = bep.Rule(bits=8, group_size=5)
    data = types.SimpleNamespace(train_x=encoder(x), train_y=y, test_x=encoder(x_test), test_y=y_test)
    options = {"epochs": 60, "batch_size": 16, "seeds": [0], "validation": 0, "progress": False}
    result = bep.fit(model, rule, data, scale=64.0, **options)
    return model, rule, jax.tree.map(lambda a: a[0], result.params), encoder


def emulate(folder: pathlib.Path, cpu: str, define: str) -> dict[str, Any]:
    """Builds and runs main.c; what it printed."""
    for stale in folder.glob("*.elf"):
        stale.unlink()
    command = ["make", "-s", "run", f"CPU={cpu}", f"DEFINES={define}"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    if done.returncode != 0:
        raise SystemExit(f"device: {' '.join(command)} failed:\n{done.stdout}")

    def number(what: str) -> int:
        found = re.search(rf"{what}: (\d+)", done.stdout)
        if found is None:
            raise SystemExit(f"device: the program did not say its {what}:\n{done.stdout}")
        return int(found[1])

    learn = number("instructions a learned sample")
    row = {
        "ram": number("bytes of memory"),
        "flash": number("bytes of flash without the samples"),
        "learn": learn,
        "predict": number("instructions a predicted sample"),
        "learn_16": learn / 16e3,
        "learn_64": learn / 64e3,
    }
    for count, own, old in re.findall(r"after (\d+) samples: turned ([\d.]+) %, upright ([\d.]+) %", done.stdout):
        row |= {f"own_{count}": float(own), f"old_{count}": float(old)}
    return row


def float32_text(model: bep.Model, params: bep.Params, encoder, example, rate: float) -> str:
    """float32_model.h: the float network of this shape, trained on the same upright samples for as many epochs."""
    x, y = example.parts()["train"]
    classifier = np.asarray(bep.bits.unpack(params.classifier, num_bits=model.num_outputs)).astype(np.int32)
    signs = np.where(x > encoder.thresholds[:, 0], 1, -1).astype(np.int32)
    sizes = [model.num_inputs, *model.widths]
    limits = [int(np.sqrt(k)) for k in sizes[:-1]]
    margin = int(np.ceil(0.5 * model.num_outputs))
    weights = train_float32(signs, y, classifier, sizes, limits, margin)
    latent = ", ".join(f"{v!r}f" for w in weights for v in w.astype(np.float32).ravel().astype(float).tolist())
    rows = ", ".join("{" + ", ".join(map(str, row)) + "}" for row in classifier.tolist())
    count = sum(w.size for w in weights)
    return f"""typedef uint8_t bep_input_t;
#define BEP_NUM_INPUTS {model.num_inputs}
#define BEP_NUM_CLASSES {model.num_classes}
#define NUM_LAYERS {len(model.widths)}u
#define NUM_UNITS {sum(sizes)}u
#define NUM_WEIGHTS {count}u
#define BATCH_SIZE {example.BATCH_SIZE}u
#define MARGIN {margin}
#define RATE {rate}f
static const uint16_t widths[NUM_LAYERS + 1] = {{{", ".join(map(str, sizes))}}};
static const int16_t limits[NUM_LAYERS] = {{{", ".join(map(str, limits))}}};
static const uint8_t thresholds[{model.num_inputs}] = {{{", ".join(map(str, encoder.thresholds[:, 0].tolist()))}}};
static const int8_t classifier[BEP_NUM_CLASSES][{model.num_outputs}] = {{{rows}}};
static float latent[NUM_WEIGHTS] = {{{latent}}};
"""


def train_float32(x, y, classifier, sizes, limits, margin, *, epochs=40, batch=16, rate=0.01) -> list[np.ndarray]:
    """What float32.h does, in NumPy."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.1, (n, k)) for k, n in itertools.pairwise(sizes)]
    moments = [[np.zeros_like(w), np.zeros_like(w)] for w in weights]
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(y))
        for start in range(0, len(y), batch):
            rows = order[start : start + batch]
            inputs, sums = [x[rows]], []
            for w in weights:
                sums.append(inputs[-1] @ np.where(w >= 0, 1, -1).T)
                inputs.append(np.where(sums[-1] >= 0, 1, -1))
            logits = inputs[-1] @ classifier.T
            own = logits[np.arange(len(rows)), y[rows]]
            others = np.where(np.arange(len(classifier)) == y[rows, None], -(10**9), logits)
            rival = others.argmax(1)
            active = own - others.max(1) < margin
            error = np.where(active[:, None], classifier[rival] - classifier[y[rows]], 0).astype(float)
            step += 1
            for i in reversed(range(len(weights))):
                error = np.where(np.abs(sums[i]) <= limits[i], error, 0.0)
                gradient = error.T @ inputs[i]
                error = error @ np.where(weights[i] >= 0, 1, -1)
                first, second = moments[i]
                first += 0.1 * (gradient - first)
                second += 0.001 * (gradient**2 - second)
                scale = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                weights[i] = np.clip(weights[i] - scale * first / (np.sqrt(second) + 1e-6), -1, 1)
    return weights


def _example():
    spec = importlib.util.spec_from_file_location("make_model", EXAMPLE / "make_model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
