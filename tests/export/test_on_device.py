"""The exported C learns: every prediction, every hidden weight and every draw is that of `bep.step`, bit for bit."""

import functools
import os
import pathlib
import re
import shutil
import subprocess
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bep_jax as bep
from bep_jax import encode
from bep_jax.data.dataset import last_steps
from bep_jax.data.ts_file import parse_ts
from bep_jax.export.model_file import Saved
from bep_jax.export.predict import read_samples, scores
from bep_jax.network.layers.dense import Dense

STRICT = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wdouble-promotion"]
SANITISED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1"]

# Obeys orders from stdin, three integers each: L label steps, then inputs; F; E; G layer size; S saves, spoils and
# loads again; D writes the saved state.
MAIN = r"""
#include <stdio.h>
#include "net.h"

int main(void)
{
    static net_input_t input[NET_NUM_INPUTS];
    static uint8_t state[NET_STATE_BYTES];
    int32_t order[3], found, t;
    while (fread(order, sizeof order, 1, stdin) == 1) {
        switch (order[0]) {
        case 'L':
            for (t = 0; t < order[2]; t++) {
                if (fread(input, sizeof input, 1, stdin) != 1)
                    return 1;
                @STEP@
            }
            found = net_learn(@INPUT@order[1]);
            @RESET@
            fwrite(&found, 4, 1, stdout);
            break;
        case 'F': net_flush(); break;
        case 'E': net_end_epoch(); break;
        case 'G':
            if (net_set_group_size((uint32_t)order[1], (uint32_t)order[2]))
                return 2;
            break;
        case 'S':
            net_save(state);
            state[20] ^= 1u;
            if (net_load(state) != 3)
                return 3;
            state[20] ^= 1u;
            state[5] ^= 1u;
            if (net_load(state) != 2)
                return 4;
            state[5] ^= 1u;
            net_key[0] = 7;
            net_hidden_0[0] = 3;
            if (net_load(state) != 0)
                return 5;
            break;
        case 'D':
            net_save(state);
            fwrite(state, sizeof state, 1, stdout);
            break;
        default: return 6;
        }
    }
    return 0;
}
"""

# (model, bits, batch, time steps, window, group sizes of each epoch, compiler)
CASES = {
    "mlp": (
        bep.mlp(num_inputs=63, widths=(35, 33), num_classes=5),
        8,
        16,
        1,
        None,
        ((5, 3), (8, 11), (35, 20)),
        "gcc",
    ),
    "rnn": (
        bep.rnn(num_inputs=33, state_width=35, output_width=31, num_classes=3, horizon=3, gated_update=True),
        16,
        5,
        4,
        4,
        ((5, 31), (7, 1), (35, 31)),
        "clang",
    ),
    "conv": (  # every way to learn, padding, strides, words that are not full, more than one word of channels
        bep.Model(
            (
                bep.Convolution.over((5, 4), 2, 33, 3, 1, 1),
                bep.Convolution.over((5, 4), 33, 20, (3, 2), (2, 1), (1, 0), learns="tied winners"),
                bep.Convolution.over((3, 3), 20, 9, 2, 1, learns="winners"),
                Dense(36, 21, learns="band"),
            ),
            4,
        ),
        8,
        6,
        1,
        None,
        ((33, 5, 3, 21), (33, 7, 2, 21), (33, 20, 9, 21)),
        "gcc",
    ),
}


CASES["past"] = (
    bep.conv(image_shape=(9,), channels=3, filters=((21, 3, 2, 1), (9, 2, 1)), widths=(15,), num_classes=3, extra=37),
    16,
    6,
    1,
    None,
    ((21, 9, 5), (21, 9, 3), (21, 9, 15)),
    "gcc",
)


class Case(NamedTuple):
    """What the C is told, and what it must answer."""

    header: str
    main: str
    orders: bytes
    found: list[np.ndarray]  # of each epoch
    states: list  # (params, opt_state) after it


def integers(*values):
    return np.array(values, np.int32).tobytes()


@functools.cache
def case(name):
    model, hidden_bits, batch, steps, window, sizes, _ = CASES[name]
    rng = np.random.default_rng(0)
    rule = bep.Rule(bits=hidden_bits, group_size=sizes[0], gate=0.2)
    params = model.init(jax.random.key(3), 20.0)
    opt_state = bep.optimizer(rule, jax.random.key(5)).init(params.hidden)
    header = bep.to_c(model, params, prefix="net", rule=rule, batch_size=batch, opt_state=opt_state, window=window)
    main = MAIN.replace("@INPUT@", "" if model.recurrent else "input, ").replace(
        "@STEP@", "net_step(input);" if model.recurrent else ""
    )
    main = main.replace("@RESET@", "net_reset();" if model.recurrent else "")
    count = 66 * batch - 3  # a last batch that is not full
    prototypes = rng.random((3, *((steps,) if model.recurrent else ()), model.num_inputs)) < 0.5
    y = rng.integers(0, 3, count).astype(np.int32)
    x = encode.pack_host(prototypes[y] ^ (rng.random(prototypes[y].shape) < 0.2))
    step = jax.jit(
        lambda limits, params, state, x, y, where: (
            bep.step(model, limits, params, state, x, y, where),
            jnp.argmax(bep.logits(model, params, x), 1),
        )
    )
    limits, orders, expected, states = bep.thresholds(model, rule), b"", [], []
    for epoch in range(3):
        limits = limits._replace(group_size=jnp.asarray(sizes[epoch], jnp.int32))
        orders += b"".join(integers(ord("G"), i, size) for i, size in enumerate(sizes[epoch]))
        right, order, answers = 0, rng.permutation(count), []
        for number, start in enumerate(range(0, count, batch)):
            rows = order[start : start + batch]
            padded = np.concatenate([rows, np.zeros(batch - len(rows), int)])
            (params, opt_state, stats), found = step(
                limits, params, opt_state, x[padded], y[padded], np.arange(batch) < len(rows)
            )
            answers.append(np.asarray(found)[: len(rows)])
            right += int(stats.correct)
            orders += b"".join(integers(ord("L"), y[row], steps) + x[row].tobytes() for row in rows)
            orders += integers(ord("S"), 0, 0) * (number == 7)
        opt_state = bep.rescale(opt_state, 1 - right / count)
        orders += integers(ord("E"), 0, 0) + integers(ord("D"), 0, 0)
        expected.append(np.concatenate(answers))
        states.append((params, opt_state))
    assert right > count // 2  # there was something to learn
    return Case(header, main, orders, expected, states)


def assert_learns(name, folder, build, run, byte_order):
    """Builds, learns, compares: predictions, hidden weights, draws, keys."""
    model, one = CASES[name][0], case(name)
    (folder / "net.h").write_text(one.header)
    (folder / "main.c").write_text(one.main)
    built = subprocess.run(
        [*build, "-std=c99", *STRICT, "-o", "main", "main.c"], cwd=folder, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    orders = np.frombuffer(one.orders, np.uint32).astype(f"{byte_order}u4").tobytes()
    ran = subprocess.run([*run, folder / "main"], input=orders, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    size = int(re.search(r"#define NET_STATE_BYTES (\d+)", one.header)[1])
    out = ran.stdout
    for expected, (params, opt_state) in zip(one.found, one.states, strict=True):
        count = len(expected)
        found, content, out = out[: 4 * count], out[4 * count : 4 * count + size], out[4 * count + size :]
        np.testing.assert_array_equal(np.frombuffer(found, f"{byte_order}i4"), expected)
        loaded, state = bep.load_c_state(model, content)
        for a, b in zip(
            jax.tree.leaves((loaded, state._replace(key=0))),
            jax.tree.leaves((params, opt_state._replace(key=0))),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(opt_state.key))
    assert out == b""


@pytest.mark.parametrize("name", CASES)
def test_learns_bit_for_bit(tmp_path, name):
    compiler, model = CASES[name][-1], CASES[name][0]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} to compile the exported C")
    assert_learns(name, tmp_path, [compiler, *SANITISED], [], "=")

    # What the macros say is what the arrays take; and the header is C++, too.
    header = case(name).header
    names = re.findall(r"^static (const )?\w+ (net_\w+)\[(\d+)\]", header, re.MULTILINE)
    code = "\n".join(f'printf("%d %u\\n", {bool(c):d}, (unsigned)sizeof {n});' for c, n, _ in names)
    (tmp_path / "sizes.cpp").write_text(f'#include <stdio.h>\n#include "net.h"\nint main() {{ {code} return 0; }}\n')
    plus = {"gcc": "g++", "clang": "clang++"}[compiler]
    subprocess.run([plus, *STRICT, "-o", "sizes", "sizes.cpp"], cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True).stdout.split()
    static = sum(int(b) for const, b in zip(out[::2], out[1::2], strict=True) if const == "0")
    counts = 32 if model.recurrent else 20
    assert int(re.search(r"#define NET_STATIC_BYTES (\d+)", header)[1]) == static + counts


@pytest.mark.parametrize("name", CASES)
def test_learns_on_a_big_endian_machine(tmp_path, name):
    """A 32-bit PowerPC, emulated: the same bits, and states that Python reads as they are."""
    for tool in ("powerpc-linux-gnu-gcc", "qemu-ppc"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}; Debian has it in gcc-powerpc-linux-gnu, libc6-dev-powerpc-cross, qemu-user")
    assert_learns(name, tmp_path, ["powerpc-linux-gnu-gcc", "-static", "-O1"], ["qemu-ppc"], ">")


def test_memory():
    """64-35-35 learns in 6 KB, 784-105-105 in 140 KB."""
    for num_inputs, width, batch, most in ((64, 35, 8, 6 << 10), (784, 105, 16, 140 << 10)):
        model = bep.mlp(num_inputs=num_inputs, widths=(width, width), num_classes=5)
        params = bep.Params(
            tuple(np.full(shape, 3, np.int16) for shape in model.matrix_shapes),
            np.zeros((5, (width + 31) // 32), np.uint32),
        )
        header = bep.to_c(model, params, rule=bep.Rule(bits=8, group_size=35), batch_size=batch)
        assert int(re.search(r"#define BEP_RAM_BYTES (\d+)", header)[1]) <= most


def test_errors():
    model = bep.mlp(num_inputs=4, widths=(3,), num_classes=2)
    params, rule = model.init(jax.random.key(0)), bep.Rule(group_size=3)
    with pytest.raises(ValueError, match="batch_size and opt_state are for networks that learn"):
        bep.to_c(model, params, batch_size=4)
    with pytest.raises(TypeError, match="rule must be a Rule or Limits, got int"):
        bep.to_c(model, params, rule=3)
    with pytest.raises(ValueError, match="at most 65535"):
        bep.to_c(model, params, rule=rule, batch_size=70000)
    with pytest.raises(TypeError, match="opt_state must be"):
        bep.to_c(model, params, rule=rule, opt_state=())
    state = bep.optimizer(rule, jax.random.key(0, impl="rbg")).init(params.hidden)
    with pytest.raises(ValueError, match="a key of threefry2x32, got rbg"):
        bep.to_c(model, params, rule=rule, opt_state=state)
    recurrent = bep.rnn(num_inputs=4, state_width=3, output_width=3, num_classes=2)
    with pytest.raises(ValueError, match="give window"):
        bep.to_c(recurrent, recurrent.init(jax.random.key(0)), rule=rule)
    with pytest.raises(ValueError, match="no bytes of bep_save"):
        bep.load_c_state(model, b"")
    with pytest.raises(ValueError, match="damaged, or of another network"):
        bep.load_c_state(model, b"BEP\x01" + bytes(100))
    with pytest.raises(TypeError, match="wanted a Model"):
        bep.load_c_state(params, b"")


CLASSIFY = """
#include <stdio.h>
#include <stdlib.h>
#include "net.h"
int main(void)
{
    static double series[2000 * NET_NUM_INPUTS];
    uint32_t length;
    while (fread(&length, 4, 1, stdin) == 1) {
        int found;
        if (fread(series, 8 * NET_NUM_INPUTS, length, stdin) != length)
            return 1;
        found = net_classify(series, length);
        printf("%d %d %d\\n", found, net_decide(1), net_decide(5));
    }
    @NAMES@
    return 0;
}
"""


def classified(folder, header, series, names=""):
    """Lines that the C says of series ``[T, F]`` of any lengths."""
    (folder / "net.h").write_text(header)
    (folder / "main.c").write_text(CLASSIFY.replace("@NAMES@", names))
    build = ["gcc", "-std=c99", *STRICT, *SANITISED, "-o", "main", "main.c"]
    built = subprocess.run(build, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    stdin = b"".join(np.uint32(len(one)).tobytes() + np.ascontiguousarray(one).tobytes() for one in series)
    ran = subprocess.run([folder / "main"], input=stdin, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode().splitlines()


needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc to compile the exported C")


@needs_gcc
@pytest.mark.parametrize(("problem", "window"), [("ItalyPowerDemand", 8), ("JapaneseVowels", 20)])
def test_series_as_predict_reads_them(problem, window, tmp_path):
    """All series of a file, the second's of unequal lengths: the classes that `predict` gives."""
    path = pathlib.Path(os.environ.get("BEP_JAX_DATA", "")) / "ucr" / problem / f"{problem}_TEST.ts"
    if not path.is_file():
        pytest.skip(f"$BEP_JAX_DATA holds no {path.name}")
    series = parse_ts(path.read_bytes(), path, "test").series
    encoder = encode.fit_thermometer(np.concatenate(series)[::7], 3)
    model = bep.rnn(num_inputs=encoder.num_bits, state_width=35, output_width=15, num_classes=9)
    params = model.init(jax.random.key(0))
    saved = Saved(model, params, encoder, None, window)
    expected = scores(saved, read_samples(path, saved).x).argmax(axis=1)
    lines = classified(tmp_path, bep.to_c(model, params, encoder, prefix="net", window=window), series)
    np.testing.assert_array_equal([int(line.split()[0]) for line in lines], expected)
    assert len({len(one) for one in series}) > 1 or problem == "ItalyPowerDemand"


@needs_gcc
def test_series_of_any_length_names_and_doubt(tmp_path):
    """`classify` cuts and pads as `predict` does; -1 where the lead is too small."""
    rng = np.random.default_rng(1)
    model = bep.rnn(num_inputs=6, state_width=15, output_width=15, num_classes=3)
    params = model.init(jax.random.key(0))
    encoder = encode.fit_thermometer(rng.normal(size=(50, 2)), 3)
    names = ("sitting", 'say "é"?', "?\\")
    header = bep.to_c(model, params, encoder, prefix="net", window=5, classes=names)
    series = [rng.normal(size=(length, 2)) for length in (1, 3, 5, 6, 9)]
    say = "".join(f"puts(net_class_name({c}));" for c in (0, 1, 2, -1))
    lines = classified(tmp_path, header, series, f"{say} if (NET_WINDOW != 5) return 2;")
    assert tuple(lines[-4:]) == (*names, "?")
    logits = np.asarray(bep.logits(model, params, encoder(last_steps(series, 5))))
    lead = np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)[:, 0]
    expected = [[c, c if a >= 1 else -1, c if a >= 5 else -1] for c, a in zip(logits.argmax(1), lead, strict=True)]
    assert [[int(n) for n in line.split()] for line in lines[:-4]] == expected
