"""Odd surroundings: streams that are closed or not UTF-8, pipes, names, numbers beyond sense, no home."""

import io
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from drawn import draw, thermometer

import bep_jax as bep
from bep_jax.commands import cli
from bep_jax.kernels import checks
from bep_jax.training import interrupt, samples

# A command of its own process, with the streams that a shell gives it.
TINY = """
import sys
sys.path[:0] = eval(sys.argv[1])
from bep_jax.commands import cli, saved
class Saying:
    def run(self):
        import os, warnings
        print("γ ν – Straße \\udcff"); print("ν", file=sys.stderr); warnings.warn("ν is odd")
        open("data", "w").write(str(os.fstat(1) is not None)); os.write(2, b"low\\n")
cli._read = lambda args: Saying()
sys.exit(cli.main([]))
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-16"])
def test_any_encoding(encoding, tmp_path):
    command = [sys.executable, "-c", TINY, repr(sys.path)]
    found = subprocess.run(
        command, env=os.environ | {"PYTHONIOENCODING": encoding}, cwd=tmp_path, capture_output=True, timeout=120
    )
    assert found.returncode == 0, found.stderr
    assert b"Traceback" not in found.stderr
    assert "Stra" in found.stdout.decode(encoding)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_get_nothing_into_files(closed, tmp_path):
    shell = f'"$0" -c "$1" "$2" {closed}'
    found = subprocess.run(
        ["sh", "-c", shell, sys.executable, TINY, repr(sys.path)], cwd=tmp_path, capture_output=True, timeout=120
    )
    assert found.returncode == 0 and b"Traceback" not in found.stderr
    assert (tmp_path / "data").read_text() == "True", "what is printed does not go into whatever was opened next"


@pytest.mark.parametrize("code", ["closed", 5, 32])
def test_a_bar_that_cannot_be_written_ends_nothing(code, monkeypatch):
    class Broken(io.StringIO):
        def write(self, text):
            raise ValueError("I/O operation on closed file") if code == "closed" else OSError(code, "broken")

    monkeypatch.setattr(sys, "stderr", None if code == "closed" else Broken())
    file = interrupt.progress_file()
    assert file.write("bar") == 3
    file.flush()
    from tqdm.auto import tqdm

    with tqdm(total=2, file=file) as bar:
        bar.update()
        bar.set_postfix(accuracy=1)


def test_a_handler_of_the_program_around_stays(monkeypatch):
    set_by_us = []
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda *args: set_by_us.append(args))
    with interrupt.interruptible() as pressed:
        assert not pressed()
    assert not set_by_us
    monkeypatch.undo()
    before = signal.getsignal(signal.SIGINT)
    with interrupt.interruptible() as pressed:
        signal.raise_signal(signal.SIGINT)
        assert pressed()
    assert signal.getsignal(signal.SIGINT) is before


def test_predictions_go_where_they_are_sent(tmp_path, capsys, monkeypatch):
    model = bep.mlp(num_inputs=8, widths=(5,), num_classes=2)
    monkeypatch.chdir(tmp_path)
    bep.save("-net", model, draw(model), thermometer(4, 2), ("nö", "ja"))
    np.save("x.npy", np.random.default_rng(0).integers(0, 100, (3, 4)))
    (tmp_path / "far").write_text("old")
    (tmp_path / "-y.txt").symlink_to("far")
    args = ["predict", "--model=-net", "--input", "x.npy"]
    assert cli.main(args) == cli.main([*args, "--out=-y.txt"]) == 0
    assert (tmp_path / "far").read_text(encoding="utf-8") == capsys.readouterr().out
    assert (tmp_path / "-y.txt").is_symlink()
    assert cli.main([*args, "--out", "/dev/full"]) == 1
    assert capsys.readouterr().err == "error: No space left on device: /dev/full\n"
    assert cli.main([*args, "--output", "y"]) == 2
    assert "there is no --output; write --out" in capsys.readouterr().err
    assert not (tmp_path / "y").exists()


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bep_jax ")


@pytest.mark.parametrize(
    "args",
    [
        "--widths 1000000000000", "--widths 2000000000 35", "--widths 300000 300000", "--seeds 1000000000",
        "--seeds 0 1 -1", "--seeds 0 4294967296", "--batch-size -9", "--epochs -1", "--scale nan", "--scale inf",
        "--scale -1", "--gate nan", "--margin nan", "--reinforcement nan", "--validation nan", "--validation inf",
        "--expand 1000000000000", "--input-bits 0", "--seed 99999999999",
        "--model rnn --window 8 --state-width 1000000000000", "--model rnn --window 8 --patterns 1000000000000",
    ],
)  # fmt: skip
def test_numbers_beyond_sense_are_refused_at_once(args, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "_memory", lambda: 2 * 10**10)
    assert cli.main(["train", "--dataset", "digits", "--no-progress", *args.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "Traceback" not in err
    assert not any((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else True


def test_counts_and_memory_have_ends():
    for value, error in (
        (2**31, ValueError),
        (10**30, ValueError),
        (-1, ValueError),
        (1.0, TypeError),
        (True, TypeError),
    ):
        with pytest.raises(error, match="f: n must be"):
            checks.check_count(value, "n", "f")
    with pytest.raises(ValueError, match=r"f: words take at least 1,000,000,000.0 GB, and this machine has"):
        checks.check_memory(10**18, "words", "f")
    for seeds in (0, -1, 10**9, [], [-1], [2**32], iter(range(10**9))):
        with pytest.raises(ValueError, match="fit: seeds must be a count"):
            samples.check_seeds(seeds)
    for seeds in (1.5, "12", True, None, [1.5], [True]):
        with pytest.raises(TypeError, match="fit: seeds must be a count"):
            samples.check_seeds(seeds)
    with pytest.raises(ValueError, match=r"Model.init: 1 network of .* weights take at least"):
        bep.mlp(num_inputs=10**6, widths=(10**6,), num_classes=2).init(jax.random.key(0))


def test_a_batch_is_cut_to_the_samples_and_keys_are_used_once():
    data = bep.datasets.load("random-prototypes", num_inputs=32, num_train=40, num_test=20, num_classes=2)
    model = bep.mlp(num_inputs=32, widths=(15,), num_classes=2)
    options = {"epochs": 1, "progress": False, "scale": 64.0}
    whole = bep.fit(model, bep.Rule(), data, batch_size=40, seeds=3, **options)
    with jax.debug_key_reuse(True):
        more = bep.fit(model, bep.Rule(), data, batch_size=10**9, seeds=[2], **options)
    np.testing.assert_array_equal(more.params.hidden[0][0], whole.params.hidden[0][2])
