"""On an emulated Cortex-M3 the exported C learns the same bits as Python, and the sketch compiles."""

import pathlib
import re
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bep_jax as bep
from bep_jax import encode

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "microcontroller"
PASSES, OWN = 8, 200
pytestmark = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="no examples beside the tests")


def problem():
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 200, (5, 64))
    y = rng.integers(0, 5, OWN)
    x = (prototypes[y] + rng.integers(0, 56, (OWN, 64))).astype(np.uint8)
    encoder = encode.fit_median(x)
    model = bep.mlp(num_inputs=64, widths=(35, 35), num_classes=5)
    return model, bep.Rule(bits=8, group_size=5), model.init(jax.random.key(0), 16.0), encoder, x, y


def samples_text(x, y):
    lines = [f"#define NUM_OWN {OWN}u\n#define NUM_TEST 2u\n#define PASSES {PASSES}u"]
    for name in ("own", "turned", "upright"):
        rows = ", ".join("{" + ", ".join(map(str, row)) + "}" for row in x.tolist())
        lines.append(f"static const uint8_t {name}[{OWN}][64] = {{{rows}}};")
        lines.append(f"static const uint8_t {name}_labels[{OWN}] = {{{', '.join(map(str, y.tolist()))}}};")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("cpu", ["cortex-m3", "cortex-m0"])
def test_the_device_learns_what_python_learns(tmp_path, cpu):
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm", "make"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    model, rule, params, encoder, x, y = problem()
    for file in EXAMPLE.iterdir():
        if file.suffix in (".c", ".h", ".ld", "") and file.is_file() and file.name not in ("model.h", "samples.h"):
            shutil.copy(file, tmp_path)
    (tmp_path / "model.h").write_text(bep.to_c(model, params, encoder, rule=rule, batch_size=8))
    (tmp_path / "samples.h").write_text(samples_text(x, y))
    run = subprocess.run(
        ["make", "run", f"CPU={cpu}", "DEFINES=-DSHOW_STATE"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0 and "warning" not in run.stdout, run.stdout
    loaded, state = bep.load_c_state(model, bytes.fromhex(re.search(r"state: ([0-9a-f]+)", run.stdout)[1]))

    opt_state = bep.optimizer(rule, jax.random.key(0)).init(params.hidden)
    step = jax.jit(lambda params, state, x, y: bep.step(model, rule, params, state, x, y))
    words = encoder(x)
    for _ in range(PASSES):  # 200 batches of 8
        right = 0
        for start in range(0, OWN, 8):
            batch = slice(start, start + 8)
            params, opt_state, stats = step(params, opt_state, words[batch], jnp.asarray(y[batch]))
            right += int(stats.correct)
        opt_state = bep.rescale(opt_state, 1 - right / OWN)
    for a, b in zip((*loaded, state.draw), (*params, opt_state.draw), strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)
    np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(opt_state.key))
    assert right > OWN // 2


def test_the_sketch_compiles(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    model, rule, params, encoder, _, _ = problem()
    (tmp_path / "model.h").write_text(bep.to_c(model, params, encoder, rule=rule))
    arduino = """
    struct Port { void begin(long); void println(int); };
    extern Port Serial;
    enum { INPUT_PULLUP, LOW, A0 };
    void pinMode(int, int); int analogRead(int); int digitalRead(int); void delay(unsigned long);
    """
    sketch = (EXAMPLE / "sketch" / "sketch.ino").read_text()
    (tmp_path / "sketch.cpp").write_text(arduino + sketch)
    build = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "sketch.cpp"]
    built = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
