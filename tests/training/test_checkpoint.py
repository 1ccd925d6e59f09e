"""Checkpoints: a run that stops at any moment, for any reason, goes on to the same bits, or says why it cannot."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import bep_jax as bep
from bep_jax.export import model_file
from bep_jax.training import checkpoint
from bep_jax.training.checkpoint import FILE, Checkpoints

MODEL = bep.mlp(num_inputs=40, widths=(15, 30), num_classes=3)
RULE = bep.Rule(gate=0.3, group_size=5)
EPOCHS, MANY_EPOCHS = 6, 150

# Trains `MODEL` as below, saying when each epoch is done, and writes what came of it.
CHILD = """
import sys
import numpy as np
from training import test_checkpoint
from bep_jax.training import checkpoint

checkpoint._LEAST_PAUSE = 0  # after every epoch, so that many kills strike while one is written
result = test_checkpoint.run(
    checkpoint_dir=sys.argv[1],
    resume=True,
    callbacks=[lambda report: print(report.epoch, flush=True)],
    epochs=test_checkpoint.MANY_EPOCHS,
)
np.savez(sys.argv[2], *test_checkpoint.numbers(result))
"""


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "_LEAST_PAUSE", 0)


def make_data():
    rng = np.random.default_rng(0)
    patterns = rng.random((3, 40)) < 0.5

    def part(size):
        y = rng.integers(0, 3, size).astype(np.int32)
        return np.asarray(bep.bits.pack(np.where(rng.random((size, 40)) < 0.3, ~patterns[y], patterns[y]))), y

    (train_x, train_y), (test_x, test_y) = part(53), part(21)
    return SimpleNamespace(train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y)


def run(rule=RULE, **options):
    """A run of which every part moves: group sizes, reinforcement, shuffles."""
    defaults = {"epochs": EPOCHS, "batch_size": 10, "seeds": 2, "patience": 1, "progress": False}
    return bep.fit(options.pop("model", MODEL), rule, options.pop("data", None) or make_data(), **defaults | options)


def numbers(result):
    """All that a run came to, as arrays."""
    leaves = [jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a for a in leaves_of(result)]
    return [np.asarray(a) for a in leaves]


def leaves_of(result):
    return [*jax.tree.leaves(result.state), result.test_accuracy, *result.history.values()]


def assert_same(found, wanted):
    assert list(found.history) == list(wanted.history)
    for a, b in zip(numbers(found), numbers(wanted), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.fixture(scope="module")
def whole():
    """The run that nothing interrupts."""
    return run()


def test_resumed_equals_uninterrupted(whole, tmp_path):
    assert whole.history["group_size_2"].max() > 5, "the schedule never moved: the test shows less"
    for epochs in (1, 2, 5):
        part = run(epochs=epochs, checkpoint_dir=tmp_path / "deep" / "er", resume=True)
        assert part.history["train_accuracy"].shape == (2, epochs)
    reports = []
    again = {"checkpoint_dir": tmp_path / "deep" / "er", "resume": True, "callbacks": [reports.append]}
    assert_same(run(**again), whole)
    assert [(report.epoch, report.epochs) for report in reports] == [(6, 6)]
    assert_same(run(**again), whole)  # nothing left to do
    assert len(reports) == 1
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == [FILE]
    with pytest.raises(ValueError, match=r"fit: epochs=5, but the checkpoint in .* has 6 already"):
        run(**again, epochs=5)


def test_a_convolution_goes_on_with_the_same_moves_of_its_images(tmp_path):
    model = bep.conv(image_shape=(4, 5), channels=2, filters=((7, 3, 1),), widths=(15,), num_classes=3)
    options = {"model": model, "shift": 1, "mirror": True, "epochs": 4}
    run(**options | {"epochs": 2}, checkpoint_dir=tmp_path)
    assert_same(run(**options, checkpoint_dir=tmp_path, resume=True), run(**options))
    with pytest.raises(ValueError, match="learner"):
        run(**options | {"mirror": False}, checkpoint_dir=tmp_path, resume=True)


def test_ctrl_c_and_a_crash_lose_nothing(whole, tmp_path):
    def stop(report):
        os.kill(os.getpid(), 2)

    def crash(report):
        raise RuntimeError

    assert run(checkpoint_dir=tmp_path, callbacks=[stop]).history["train_accuracy"].shape == (2, 1)
    with pytest.raises(RuntimeError):
        run(checkpoint_dir=tmp_path, resume=True, callbacks=[crash])
    seen = []
    assert_same(run(checkpoint_dir=tmp_path, resume=True, callbacks=[lambda r: seen.append(r.epoch)]), whole)
    assert seen == [3, 4, 5, 6]


def test_killed_at_random_moments(tmp_path):
    generator = random.Random(6)
    out = tmp_path / "out.npz"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),  # compiles once, not three times
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-c", CHILD, str(tmp_path / "run"), str(out)]
    done, kills, status = 0, 0, None
    while status != 0:
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
            first = int(child.stdout.readline())
            assert first == 1 if done == 0 else first > done
            if kills < 2:
                time.sleep(generator.uniform(0, 0.05))
                child.kill()
            done = max([first, *(int(line) for line in child.stdout.read().split("\n")[:-1])])
        status = child.returncode
        assert status in (0, -signal.SIGKILL)
        kills += status != 0
    assert kills, "the run was over before it was killed: the test shows nothing"
    found = np.load(out)
    for a, b in zip(found.values(), numbers(run(epochs=MANY_EPOCHS)), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("moment", ["open", "fdopen", "fsync", "replace"])
def test_killed_while_it_writes(whole, moment, tmp_path, monkeypatch):
    """At every step of writing a checkpoint the process ends, without any cleaning up."""
    run(epochs=2, checkpoint_dir=tmp_path)
    before = (tmp_path / FILE).read_bytes()

    class Killed(BaseException):
        pass

    def kill(*args, **options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, moment, kill)
        patch.setattr(os, "unlink", lambda path: None)
        with pytest.raises(Killed):
            run(checkpoint_dir=tmp_path, resume=True)
    assert (tmp_path / FILE).read_bytes() == before
    assert_same(run(checkpoint_dir=tmp_path, resume=True), whole)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]  # nothing is left over


def test_a_full_disk_keeps_the_last_checkpoint(whole, tmp_path):
    run(epochs=2, checkpoint_dir=tmp_path)
    before = (tmp_path / FILE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match=r"File too large; the checkpoint of epoch 2 is kept: .*safetensors"):
            run(checkpoint_dir=tmp_path, resume=True)
        with pytest.raises(OSError, match=r"there is no checkpoint yet"):
            run(checkpoint_dir=tmp_path / "other")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "other"} and not any((tmp_path / "other").iterdir())
    assert (tmp_path / FILE).read_bytes() == before
    assert_same(run(checkpoint_dir=tmp_path, resume=True), whole)


def test_no_space_is_said(tmp_path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left on device; there is no checkpoint yet") as error:
        Checkpoints(tmp_path, {}, False).save({"a": np.ones(2)}, {}, 1)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path / FILE))


def test_a_checkpoint_that_is_there_is_not_overwritten(tmp_path):
    run(epochs=1, checkpoint_dir=tmp_path)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(FileExistsError, match=r"fit: .*checkpoint.safetensors exists already; go on from it by resume"):
        run(checkpoint_dir=tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    with pytest.raises(ValueError, match="fit: resume=True wants a checkpoint_dir"):
        run(resume=True)


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configured")
    run(epochs=1, checkpoint_dir=folder)
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": bep.mlp(num_inputs=40, widths=(15, 15), num_classes=3)}, r"learner.model is Model.*width=30"),
        ({"rule": bep.Rule(gate=0.3, group_size=15)}, r"settings.group_size is \[\[5, 5\], .* there, \[\[15, 15\]"),
        ({"rule": bep.Rule(gate=0.2, group_size=5)}, r"settings.gate is "),
        ({"seeds": [0, 2]}, r"seeds is \[0, 1\] there, \[0, 2\] here"),
        ({"seeds": 1}, r"seeds is \[0, 1\] there, \[0\] here"),
        ({"batch_size": 11}, r"batch_size is 10 there, 11 here"),
        ({"scale": 8.0}, r"learner.scale is .*64.0.* there, .*8.0.* here"),
        ({"validation": 0.2}, r"validation is 0.1 there, 0.2 here"),
        ({"patience": None}, r"patience is 1 there, None here"),
        ({"key": jax.random.key(1)}, r"key.data is \[0, 0\] there, \[0, 1\] here"),
        ({"key": jax.random.key(0, impl="rbg")}, r"key.implementation is threefry2x32 there, rbg here"),
        ({"data": SimpleNamespace(**vars(make_data()) | {"test_y": np.zeros(21, np.int32)})}, r"data.test_y is int32"),
        ({"data": SimpleNamespace(**{n: a[:20] for n, a in vars(make_data()).items()})}, r"train_x is .*\(53, 2\)"),
    ],
)
def test_another_configuration_is_named(options, message, configured):
    folder = configured
    before = (folder / FILE).read_bytes()
    with pytest.raises(ValueError, match=rf"fit: .*is of another run: .*{message}"):
        run(checkpoint_dir=folder, resume=True, **options)
    assert (folder / FILE).read_bytes() == before


# The file, with states that need no training.

STATE = {"a": np.arange(5, dtype=np.int16), "key": jax.random.split(jax.random.key(3, impl="rbg")), "n": jnp.ones(2)}
HISTORY = {"b": np.ones((2, 1)), "a": np.zeros((2, 1))}


@pytest.fixture
def written(tmp_path):
    Checkpoints(tmp_path, {"x": {"y": [1]}}, False).save(STATE, HISTORY, 1)
    return tmp_path / FILE


def test_round_trip(written):
    checkpoints = Checkpoints(written.parent, {"x": {"y": [1]}}, True)
    assert checkpoints.epoch == 1
    state, history = checkpoints.restore(jax.tree.map(lambda a: a[::-1], STATE))
    assert list(history) == ["b", "a"] and type(state["a"]) is np.ndarray
    np.testing.assert_array_equal(state["a"], STATE["a"], strict=True)
    np.testing.assert_array_equal(state["n"], STATE["n"], strict=True)
    assert state["key"].dtype == STATE["key"].dtype and (state["key"] == STATE["key"]).all()
    np.testing.assert_array_equal(history["b"], HISTORY["b"], strict=True)
    with pytest.raises(ValueError, match="holds other arrays than this run has"):
        Checkpoints(written.parent, {"x": {"y": [1]}}, True).restore({"a": STATE["a"]})


def test_damage_is_refused_and_left_alone(written):
    content = written.read_bytes()
    damaged = [content[:length] for length in range(0, len(content), 7)]
    damaged += [content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :] for i in range(0, len(content), 3)]
    for one in damaged:
        written.write_bytes(one)
        with pytest.raises(ValueError, match=r"fit: .*checkpoint.safetensors"):
            Checkpoints(written.parent, {"x": {"y": [1]}}, True)
        assert written.read_bytes() == one


def test_foreign_files_are_refused_and_left_alone(written):
    model = bep.mlp(num_inputs=3, widths=(2,), num_classes=2)
    params = bep.Params((np.ones((2, 3), np.int16),), np.ones((2, 1), np.uint32))
    foreign = [
        safetensors.numpy.save({"a": np.ones(3)}),
        b"\x80\x04\x95 a pickle",
        model_file.to_bytes(bep.Saved(model, params)),
    ]
    for content in foreign:
        written.write_bytes(content)
        with pytest.raises(ValueError, match=r"fit: .*(no checkpoint from bep.fit|is no safetensors file)"):
            Checkpoints(written.parent, {}, True)
        assert written.read_bytes() == content


def test_checkpoints_cost_little(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_LEAST_PAUSE", 20)
    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    write = checkpoint.atomic.write_atomic

    def slow(path, content):
        clock[0] += 1.0
        write(path, content)

    monkeypatch.setattr(checkpoint.atomic, "write_atomic", slow)
    checkpoints, epochs = Checkpoints(tmp_path, {}, False), []
    for epoch in range(1, 51):
        checkpoints.save(STATE, HISTORY, epoch, last=epoch == 50)
        epochs.append(Checkpoints(tmp_path, {}, True).epoch)
        clock[0] += 2.0
    assert sorted(set(epochs)) == [1, 11, 21, 31, 41, 50]
