"""Compiled with warnings as errors and sanitisers, the exported C gives our logits and predictions, bit for bit."""

import os
import pathlib
import re
import shutil
import subprocess

import jax
import numpy as np
import pytest

import bep_jax as bep
from bep_jax import encode
from bep_jax.data.columns import Column, Columns
from bep_jax.export.header import to_c

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "c"
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wdouble-promotion"]
SANITISED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# Reads all inputs from stdin, writes the logits and the prediction of each sample, then checks the sizes it was told.
MAIN = """
#include <stdio.h>
#include "net.h"

int main(void)
{
    static net_input_t input[NET_NUM_INPUTS];
    int32_t out[NET_NUM_CLASSES + 1];
    unsigned long constants = @CONSTANTS@, state = @STATE@;
    if (constants != NET_CONST_BYTES || state != NET_STATIC_BYTES)
        return 3;
#if @STEPS@
    for (;;) {
        int t;
        for (t = 0; t < @STEPS@; t++) {
            if (fread(input, sizeof input, 1, stdin) != 1)
                return 0;
            net_step(input);
        }
        net_logits(out);
        out[NET_NUM_CLASSES] = net_predict();
        net_reset();
        fwrite(out, sizeof out, 1, stdout);
    }
#else
    while (fread(input, sizeof input, 1, stdin) == 1) {
        net_logits(input, out);
        out[NET_NUM_CLASSES] = net_predict(input);
        fwrite(out, sizeof out, 1, stdout);
    }
    return 0;
#endif
}
"""

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc to compile the exported C")


def real(path):
    folder = os.environ.get("BEP_JAX_DATA")
    return pytest.mark.skipif(
        not folder or not (pathlib.Path(folder) / path).is_dir(),
        reason=f"$BEP_JAX_DATA holds no {path}" if folder else "$BEP_JAX_DATA is not set",
    )


def build(folder, flags=()):
    command = ["gcc", *STRICT, *SANITISED, "-O1", *flags, "-o", "main", "main.c"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr


def run(folder, stdin):
    ran = subprocess.run([folder / "main"], input=stdin, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def run_c(folder, header, x, steps=0, flags=()):
    """Logits [B, C] and predictions [B] of the exported C for inputs [B, F] or [B, T, F]."""
    names = re.findall(r"^static (const )?\w+ (net_\w+)\[", header, re.MULTILINE)
    total = lambda const: " + ".join(["0ul", *(f"(unsigned long)sizeof {name}" for c, name in names if c == const)])  # noqa: E731
    main = MAIN.replace("@STEPS@", str(steps)).replace("@CONSTANTS@", total("const ")).replace("@STATE@", total(""))
    (folder / "net.h").write_text(header)
    (folder / "main.c").write_text(main)
    build(folder, flags)
    ran = run(folder, np.ascontiguousarray(x).tobytes())
    num_classes = int(re.search(r"#define NET_NUM_CLASSES (\d+)", header)[1])
    out = np.frombuffer(ran, np.int32).reshape(-1, num_classes + 1)
    assert len(out) == len(x)
    return out[:, :-1], out[:, -1]


def assert_same(folder, model, params, encoder, x, flags=(), ensemble=False):
    words = x if encoder is None else encoder(x)
    each = [jax.tree.map(lambda a, i=i: a[i], params) for i in range(3)] if ensemble else [params]
    expected = sum(np.asarray(bep.logits(model, one, words)) for one in each)
    header = to_c(model, params, encoder, prefix="net", ensemble=ensemble)
    logits, predictions = run_c(folder, header, x, x.shape[1] if model.recurrent else 0, flags)
    np.testing.assert_array_equal(logits, expected)
    np.testing.assert_array_equal(predictions, expected.argmax(1))


def random_params(model, networks=None):
    """Params without a compilation, of one network or of several."""
    rng, several = np.random.default_rng(4), () if networks is None else (networks,)
    hidden = tuple(rng.integers(-9, 9, (*several, *shape)).astype(np.int16) for shape in model.matrix_shapes)
    return bep.Params(hidden, encode.pack_host(rng.random((*several, model.num_classes, model.num_outputs)) < 0.5))


def random_words(rng, shape, num_bits):
    return encode.pack_host(rng.random((*shape, num_bits)) < 0.5)


@needs_gcc
@pytest.mark.parametrize(
    ("dtype", "shape"), [(np.float64, (30, 1)), (np.float32, (9, 3)), (np.float64, (1, 1)), (np.int16, (9, 3))]
)
def test_counts_of_kernels(tmp_path, dtype, shape):
    """Series in, of which values and beginnings are missing where floats are."""
    rng = np.random.default_rng(1)
    x = (30 * rng.normal(size=(40, *shape))).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        for one in x[::2]:
            one[: rng.integers(0, shape[0])] = np.nan
        x[rng.random(x.shape) < 0.1] = np.nan
        x[-1] = np.nan
    encoder = encode.fit_rocket(x)
    model = bep.mlp(num_inputs=encoder.num_bits, widths=(15,), num_classes=3)
    assert_same(tmp_path, model, random_params(model), encoder, x.reshape(40, -1))


@needs_gcc
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_encoders_side_by_side(tmp_path, dtype):
    """Under a convolution, past which the second one's bits go, and under a dense network."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 100, (40, 11, 2)).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        x[rng.random(x.shape) < 0.1] = np.nan
    flat = x.reshape(40, -1)
    steps, counted = encode.fit_edges(flat, (11,), 2), encode.fit_rocket(x, most_bits=200)
    encoder = encode.union(steps, counted)
    sizes = {"channels": steps.pixel_bits, "filters": ((9, 3, 1),), "widths": (15,), "extra": counted.num_bits}
    model = bep.conv(image_shape=(11,), **sizes, num_classes=3)
    assert_same(tmp_path, model, random_params(model), encoder, flat)
    encoder = encode.union(counted, encode.fit_levels(flat, 3), encode.fit_median(flat))
    encoder = encode.compose(encoder, encode.expansion(jax.random.key(0), encoder.num_bits, 65))
    model = bep.mlp(num_inputs=65, widths=(15,), num_classes=3)
    assert_same(tmp_path, model, random_params(model), encoder, flat)


@needs_gcc
@pytest.mark.parametrize("shape", [(5, 7, 1), (4, 4, 3), (9, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.float32, np.float64])
def test_edges(tmp_path, dtype, shape):
    """Images and series, of which values are missing where floats are."""
    rng = np.random.default_rng(2)
    low, high = (-100, 100) if dtype in (np.int8, np.float32, np.float64) else (0, 250)
    x = rng.integers(low, high, (40, *shape)).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        x /= 7
        x[rng.random(x.shape) < 0.1] = np.nan
        x[rng.random(x.shape) < 0.1] = np.inf
    x = x.reshape(40, -1)
    encoder = encode.fit_edges(x, shape[:-1], num_bits=3)
    model = bep.mlp(num_inputs=encoder.num_bits, widths=(15,), num_classes=3)
    assert_same(tmp_path, model, random_params(model), encoder, x)


@needs_gcc
@real("fashion_mnist")
def test_fashion_mnist(tmp_path):
    data = bep.datasets.load("fashion-mnist", raw=True)
    encoder = encode.fit_median(data.train_x[:1000])
    model = bep.mlp(num_inputs=784, widths=(525, 525), num_classes=10)
    params = random_params(model)
    assert data.test_x.shape == (10000, 784) and data.test_x.dtype == np.uint8
    assert_same(tmp_path, model, params, encoder, data.test_x, ["-march=native"])
    header = (tmp_path / "net.h").read_text()
    assert "typedef uint8_t net_input_t;" in header
    assert not re.search(r"\b(float|double|malloc|math\.h)\b", header)


@needs_gcc
@real("ucr/ItalyPowerDemand")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ucr(tmp_path, dtype):
    data = bep.datasets.load("ucr/ItalyPowerDemand", raw=True)
    x = data.test_x.astype(dtype)
    encoder = encode.compose(
        encode.fit_thermometer(data.train_x.astype(dtype), 10), encode.expansion(jax.random.key(1), 10, 75)
    )
    model = bep.rnn(num_inputs=75, state_width=105, output_width=45, num_classes=2)
    assert_same(tmp_path, model, random_params(model), encoder, x)


@needs_gcc
@pytest.mark.parametrize(
    ("num_inputs", "widths", "num_classes"), [(1, (1,), 2), (31, (33, 32, 63, 5), 3), (33, (64, 31), 40)]
)
def test_odd_sizes_of_packed_words(tmp_path, num_inputs, widths, num_classes):
    rng = np.random.default_rng(0)
    model = bep.mlp(num_inputs=num_inputs, widths=widths, num_classes=num_classes)
    assert_same(tmp_path, model, random_params(model), None, random_words(rng, (33,), num_inputs))


@needs_gcc
@pytest.mark.parametrize(
    ("shape", "channels", "filters", "widths", "extra"),
    [
        ((13,), 3, ((31, 5, 2, 1),), (15,), 0),
        ((13,), 3, ((31, 5, 2, 1), (9, 2, 1)), (15,), 39),
        ((7, 9), 5, ((33, (3, 2), (2, 1), (1, 0)), (64, 2, 1)), (9,), 0),
        ((4, 5, 3), 32, ((7, (2, 3, 2), 1, (1, 2, 1)),), (), 0),
    ],
)
def test_convolutions(tmp_path, shape, channels, filters, widths, extra):
    sizes = {"image_shape": shape, "channels": channels, "filters": filters, "widths": widths, "extra": extra}
    model = bep.conv(**sizes, num_classes=3)
    assert_same(
        tmp_path, model, random_params(model), None, random_words(np.random.default_rng(5), (9,), model.num_inputs)
    )


@needs_gcc
@pytest.mark.parametrize(
    ("model", "steps"),
    [
        (bep.mlp(num_inputs=33, widths=(15,), num_classes=3), None),
        (bep.conv(image_shape=(5, 6), channels=3, filters=((33, 2, 1),), widths=(9,), num_classes=3), None),
        (bep.rnn(num_inputs=33, state_width=31, output_width=65, num_classes=3), 4),
    ],
    ids=["mlp", "conv", "rnn"],
)
def test_ensembles(tmp_path, model, steps):
    params = random_params(model, networks=3)
    shape = (7,) if steps is None else (7, steps)
    x = random_words(np.random.default_rng(5), shape, model.num_inputs)
    assert_same(tmp_path, model, params, None, x, ensemble=True)
    assert "Ensemble of 3. " in (tmp_path / "net.h").read_text()


@needs_gcc
def test_odd_sizes_of_recurrent_words(tmp_path):
    rng = np.random.default_rng(1)
    model = bep.rnn(num_inputs=33, state_width=31, output_width=65, num_classes=3)
    params = random_params(model)
    assert_same(tmp_path, model, params, None, random_words(rng, (7, 5), 33))
    # Words through an expansion, and every width a single neuron or a whole word.
    model = bep.rnn(num_inputs=1, state_width=32, output_width=1, num_classes=2)
    encoder = encode.expansion(jax.random.key(3), 31, 1)
    assert_same(tmp_path, model, random_params(model), encoder, random_words(rng, (7, 2), 31))


@needs_gcc
@pytest.mark.parametrize("most", [3, 300])
def test_features_of_several_numbers_of_bits(most, tmp_path):
    """As a table gives them: numbers, two values, one value, missing; also more bits than a byte counts."""
    rng = np.random.default_rng(7)
    train = np.stack(
        [rng.normal(size=400), rng.integers(0, 2, 400), np.full(400, 3.0), rng.integers(0, 5, 400)], axis=1
    )
    train[rng.random(train.shape) < 0.1] = np.nan
    encoder = encode.fit_thermometer(train.astype(np.float32), most)
    assert encoder.counts.tolist() == [most, 1, 0, min(most, 4)]
    model = bep.mlp(num_inputs=encoder.num_bits, widths=(15,), num_classes=3)
    assert_same(tmp_path, model, random_params(model), encoder, train[:99].astype(np.float32))
    columns = Columns((Column("size */"), Column("kind", ("a", "b")), Column("n?\n")), "y")
    header = to_c(model, random_params(model), encoder, columns=columns, classes=("no", "*/", "yes"))
    assert "/* classes are 0: no, 1: _/, 2: yes */" in header
    assert "0: size _/\n *   1: kind = a\n *   2: kind = b\n *   3: n__\n" in header and "is 1 where a is b" in header
    with pytest.raises(ValueError, match="to_c: the columns make 1 features, the encoder takes 4"):
        to_c(model, random_params(model), encoder, columns=Columns((Column("x"),)))


@needs_gcc
def test_thermometers_compare_exactly_and_prefixes_keep_networks_apart(tmp_path):
    """Extremes, neighbours of the thresholds, NaN and infinities, in every type; all in one program."""
    dtypes = [
        np.dtype(f"{kind}{size}") for kind, sizes in (("i", "1248"), ("u", "1248"), ("f", "248")) for size in sizes
    ]
    rng = np.random.default_rng(2)
    includes, loops, stdin, expected = [], [], b"", b""
    for dtype in dtypes:
        if dtype.kind == "f":
            ends = np.finfo(dtype)
            levels = [-np.inf, ends.min, -0.1, -0.0, ends.smallest_subnormal, 0.1, 1 / 3, ends.max, np.inf]
            levels = np.array(levels, dtype)
            with np.errstate(over="ignore"):
                near = [np.nextafter(levels, dtype.type(1)), np.nextafter(levels, dtype.type(-1)), [dtype.type(np.nan)]]
        else:
            ends = np.iinfo(dtype)
            levels = np.array([ends.min, ends.min + 1, 7, ends.max // 2, ends.max - 1, ends.max], dtype)
            near = [levels[1:] - dtype.type(1), levels[:-1] + dtype.type(1)]
        encoder = encode.Thermometer(np.stack([levels, np.sort(rng.permutation(levels))[[0, *range(len(levels) - 1)]]]))
        x = np.concatenate([levels, *near]).astype(dtype)
        x = np.stack([x, x[::-1]], axis=1)
        model = bep.mlp(num_inputs=encoder.num_bits, widths=(2,), num_classes=2)
        header = to_c(model, random_params(model), encoder, prefix=f"Net-{dtype.name}!")
        assert ("float" in header or "double" in header) == (dtype.kind == "f")
        (tmp_path / f"{dtype.name}.h").write_text(header)
        includes.append(f'#include "{dtype.name}.h"\n')
        loops.append(f"""
    for (i = 0; i < {len(x)}; i++) {{
        net_{dtype.name}_input_t x[2];
        if (fread(x, sizeof x, 1, stdin) != 1)
            return 1;
        net_{dtype.name}_encode(x, words);
        fwrite(words, sizeof words, 1, stdout);
    }}""")
        stdin += x.astype(np.float32 if dtype == np.float16 else dtype).tobytes()
        expected += encoder(x).tobytes()
    (tmp_path / "main.c").write_text(
        f"#include <stdio.h>\n{''.join(includes)}int main(void)\n{{\n    uint32_t words[1];\n    int i;"
        f"{''.join(loops)}\n    return 0;\n}}\n"
    )
    build(tmp_path)
    found = run(tmp_path, stdin)
    np.testing.assert_array_equal(np.frombuffer(found, np.uint32), np.frombuffer(expected, np.uint32))


@needs_gcc
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["classify", "debug"])
def test_the_example(tmp_path, target):
    if not EXAMPLE.is_dir():
        pytest.skip("no examples beside the tests")
    for file in ("main.c", "Makefile"):
        shutil.copy(EXAMPLE / file, tmp_path)
    assert subprocess.run(["make", target], cwd=tmp_path, capture_output=True).returncode != 0  # model.h is missing
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (20, 3, 5), np.uint8)
    encoder = encode.fit_thermometer(images.reshape(20, 15), 2)
    model = bep.mlp(num_inputs=30, widths=(9,), num_classes=4)
    params = random_params(model)
    (tmp_path / "model.h").write_text(to_c(model, params, encoder))
    subprocess.run(["make", target, "CC=gcc"], cwd=tmp_path, check=True, capture_output=True)
    expected = np.asarray(bep.logits(model, params, encoder(images.reshape(20, 15)))).argmax(1)
    (tmp_path / "images").write_bytes(bytes([0, 0, 8, 3, *np.array([20, 3, 5], ">u4").tobytes()]) + images.tobytes())
    labels = np.where(np.arange(20) < 13, expected, (expected + 1) % 4).astype(np.uint8)
    (tmp_path / "labels").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 20]) + labels.tobytes())
    example = lambda *files: subprocess.run(["./classify", *files], cwd=tmp_path, capture_output=True, text=True)  # noqa: E731
    assert example("images").stdout.split() == [str(c) for c in expected]
    assert example("images", "labels").stdout.startswith("13 of 20 right (65.00 %)")
    assert example("labels").returncode == 1 and "bytes, the model takes" in example("labels").stderr
    assert example("missing").returncode == 1


@pytest.mark.parametrize(
    ("prefix", "name"),
    [("bep", "bep"), ("LeNet 5", "lenet_5"), ("2x-net", "bep_2x_net"), ("_a*/b_", "a_b"), ("é net", "net")],
)
def test_prefix(prefix, name):
    model = bep.mlp(num_inputs=3, widths=(2,), num_classes=2)
    header = to_c(model, random_params(model), prefix=prefix)
    assert f"static inline int {name}_predict(" in header and f"#ifndef {name.upper()}_H\n" in header
    assert header.isascii() and "@" not in header and max(map(len, header.splitlines())) <= 120
    code = header[header.index("#ifndef") :]
    assert not re.search(rf"\b(?!{name}_)(bep|BEP)_", code, re.IGNORECASE)


def test_errors():
    model = bep.mlp(num_inputs=4, widths=(3,), num_classes=2)
    params = random_params(model)
    seeds = jax.tree.map(lambda a: np.stack([a, a]), params)
    with pytest.raises(ValueError, match=r"to_c: params have a leading seed axis of 2; pick one seed"):
        to_c(model, seeds)
    with pytest.raises(ValueError, match="ensemble=True wants params with the same leading axis"):
        to_c(model, params, ensemble=True)
    with pytest.raises(ValueError, match="networks learn one by one"):
        to_c(model, seeds, rule=bep.Rule(), ensemble=True)
    thermometer = encode.Thermometer(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="pick one"):
        to_c(model, params, (thermometer, thermometer))
    with pytest.raises(TypeError, match="wanted a Model"):
        to_c("mlp", params)
    with pytest.raises(TypeError, match="wanted Params"):
        to_c(model, tuple(params))
    with pytest.raises(TypeError, match="layer 1 is a Recurrent"):
        to_c(bep.Model((bep.Dense(4, 3), bep.Recurrent(3, 2)), 2), params)
    with pytest.raises(ValueError, match="to_c: params do not fit"):
        to_c(bep.mlp(num_inputs=5, widths=(3,), num_classes=2), params)
    with pytest.raises(ValueError, match="matrices"):
        to_c(bep.mlp(num_inputs=4, widths=(3, 3), num_classes=2), params)
    with pytest.raises(ValueError, match="classifier: the last word"):
        to_c(model, params._replace(classifier=params.classifier | np.uint32(8)))
    with pytest.raises(ValueError, match="the encoder gives 6 bits, the model takes 4"):
        to_c(model, params, encode.Thermometer(np.zeros((3, 2))))
    with pytest.raises(ValueError, match="does not take the 4 bits"):
        to_c(model, params, encode.Composition((thermometer, thermometer)))
    with pytest.raises(TypeError, match="a composition, got function"):
        to_c(model, params, lambda x: x)
    if np.dtype(np.longdouble) != np.float64:
        with pytest.raises(TypeError, match="no type for thresholds"):
            to_c(model, params, encode.Thermometer(np.zeros((2, 2), np.longdouble)))
    with pytest.raises(TypeError, match="prefix must be text"):
        to_c(model, params, prefix=3)
    with pytest.raises(ValueError, match="letter or digit"):
        to_c(model, params, prefix="--")
