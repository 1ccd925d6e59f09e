"""Learning on a microcontroller: the exported C beside the same network in float32, on an emulated Cortex-M3.

Instructions are counted by the emulator, the same on every host; bytes are those of the linked program and of painted
stack. The task is that of examples/microcontroller: a camera mounted on its side, a network that knew digits upright,
with the settings that `benchmarks.adaptation` chose on other digits.
"""

import pathlib
import re
import shutil
import subprocess
import tempfile
from typing import Any

import jax
import numpy as np

import bep_jax as bep
from benchmarks import adaptation, example, float32, timing
from benchmarks.report import Column, Report

TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm", "make")
C = pathlib.Path(__file__).parent / "device_c"
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
LARGE = "784-105-105, ten classes"  # for its budget: nothing is asked of what it learns
_LARGE_SAMPLES = 24


def run(options, clock: timing.Clock) -> Report:
    """Builds, emulates, reads."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"device: skipped, there is no {' and no '.join(missing)}; Debian has them in packages.")
    report = Report(
        "Learning on a microcontroller",
        (
            "Five classes; BEP with hidden weights of 8 bits, exported by `bep.to_c`; float32: the same network with "
            "latent float weights, straight-through gradients, a hinge on the margin and Adam "
            "(`benchmarks/device_c`), its sums and activations integers. Compiled with gcc -Os, floats in "
            "software as these cores have them. RAM: static memory and the stack that was touched, all told. Flash: "
            "code, constants and first weights, without the samples. Instructions of a learned sample: the mean, with "
            "its share of the update. Milliseconds take an instruction for a clock; real cores take more for loads, "
            "branches and slow flash. Accuracy in percent on 200 test samples, before and after learning from own "
            "samples one by one, then four times more; settings as chosen in `adaptation.md`, where the same is seen "
            "over ten splits; a network that is not there has those of 64-35-35, chosen for another, and its accuracy "
            "compares no learners. Recurrent: the image row by row, 4 bits a pixel. 784: digits enlarged to 28 × 28, "
            "ten classes, batches of 16, emulated on the same board, which has 4 MB of memory.",
        ),
        COLUMNS,
    )
    make_model = example.make_model()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file in ("Makefile", "main.c", "startup.c", "board.h", "device.ld"):
            shutil.copy(example.FOLDER / file, folder)
        for file in C.iterdir():
            shutil.copy(file, folder)
        (folder / "samples.h").write_text(make_model.samples_text(passes=1 if options.quick else make_model.PASSES))
        for network, model in list(example.MODELS.items())[: 1 if options.quick else None]:
            if options.only in network:
                _small(report, folder, network, model)
        if options.only in LARGE and not options.quick:
            _large(report, folder)
    return report


def _small(report: Report, folder: pathlib.Path, name: str, model: bep.Model) -> None:
    """The networks of the task, ours on both cores."""
    setting = adaptation.chosen(name, "BEP")
    params, encoder = example.trained(name, model, setting)
    window = 8 if model.recurrent else None
    rule = example.rule(model, setting)
    header = bep.to_c(model, params, encoder, rule=rule, batch_size=setting.batch, window=window)
    (folder / "model.h").write_text(header)
    for cpu in ("cortex-m3", "cortex-m0"):
        report.add({"name": name, "learner": "BEP", "cpu": cpu, **emulate(folder, cpu, "")})
    if name == example.CONVOLUTION:
        return
    chosen = adaptation.chosen(name, "float32")
    part = example.make_model().parts()
    network = float32.trained(name, model, part, encoder, chosen, 0)
    (folder / "float32_model.h").write_text(float32.c_text(name, model, network, encoder, chosen))
    report.add(
        {"name": name, "learner": "float32", "cpu": "cortex-m3", **emulate(folder, "cortex-m3", _learner(model))}
    )


def _large(report: Report, folder: pathlib.Path) -> None:
    """784 inputs: weights as drawn, a few samples."""
    model = bep.mlp(num_inputs=784, widths=(105, 105), num_classes=10)
    rule = bep.Rule(bits=8)
    params = model.init(jax.random.key(0), 16.0)
    digits = example.make_model().parts(range(10))["train"]
    encoder = bep.encode.fit_median(_enlarged(digits[0]))
    (folder / "model.h").write_text(bep.to_c(model, params, encoder, rule=rule, batch_size=16))
    text = example.make_model().samples_text(_LARGE_SAMPLES, 1, 1, shaped=_enlarged)
    (folder / "samples.h").write_text(text)
    setting = float32.SETTINGS[0]._replace(batch=16)
    network = float32.Network(model, float32.classifier(model, 0), 1, 0)
    (folder / "float32_model.h").write_text(float32.c_text(LARGE, model, network, encoder, setting))
    for learner, define in (("BEP", ""), ("float32", _learner(model))):
        row = emulate(folder, "cortex-m3", define)
        row = {key: value for key, value in row.items() if not key.startswith(("own_", "old_"))}
        report.add({"name": LARGE, "learner": learner, "cpu": "cortex-m3", **row})


def _enlarged(images: np.ndarray) -> np.ndarray:
    """8 × 8 pixels as 28 × 28."""
    at = np.arange(28) * 8 // 28
    return images.reshape(-1, 8, 8)[:, at][:, :, at].reshape(len(images), -1)


def _learner(model: bep.Model) -> str:
    return f"-DLEARNER='\"float32{'_recurrent' if model.recurrent else ''}.h\"'"


def emulate(folder: pathlib.Path, cpu: str, define: str) -> dict[str, Any]:
    """Builds and runs main.c; what it printed."""
    for stale in folder.glob("*.elf"):
        stale.unlink()
    command = ["make", "-s", "run", f"CPU={cpu}", f"DEFINES={define}"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
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
