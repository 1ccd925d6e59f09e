"""benchmarks/: every subcommand runs at tiny sizes and writes what it promises. No timing is asserted."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def benchmarks():
    """The package of the checkout, without the checkout itself on the path: bep_jax is the installed one."""
    spec = importlib.util.spec_from_file_location(
        "benchmarks", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    for name in [name for name in sys.modules if name == "benchmarks" or name.startswith("benchmarks.")]:
        del sys.modules[name]


def test_device_says_what_is_missing(benchmarks, monkeypatch):
    monkeypatch.setattr(benchmarks("device").shutil, "which", lambda tool: None)
    with pytest.raises(SystemExit, match="device: skipped, there is no arm-none-eabi-gcc and no"):
        benchmarks("device").run(None, None)


def test_the_example_has_the_settings_that_were_chosen(benchmarks):
    example = benchmarks("example").make_model()
    chosen = benchmarks("adaptation").chosen("64-35-35", "BEP")
    assert chosen == (example.SCALE, example.GROUP_SIZE, example.GATE, example.BATCH_SIZE)


@pytest.mark.parametrize(
    "command",
    [
        "products",
        "step",
        "profile",
        "scaling",
        "inference",
        "sizes",
        "memory",
        "table2",
        "energy",
        "compile",
        "estimators",
    ],
)
def test_subcommand_writes_its_report(benchmarks, command, tmp_path):
    arguments = [command, "--quick", "--repetitions", "1", "--seconds", "0", "--core", "-1", "--out", str(tmp_path)]
    arguments += (
        [] if command in ("products", "estimators") else ["--only", "MLP"]
    )  # compilation is what takes the time
    assert benchmarks("__main__").main(arguments) == 0
    record = json.loads((tmp_path / f"{command}.json").read_text())
    assert record["command"] == command and record["rows"]
    assert set(record["versions"]) == {"python", "jax", "jaxlib", "optax", "numpy"}
    assert record["machine"]["cores"] >= 1 and record["machine"]["pinned_core"] is None
    assert record["settings"]["quick"] and record["settings"]["clock"] == "wall time"
    if command == "step":
        one, several = record["rows"]
        assert one["seeds"] == 1 and several["seeds"] == 2
        assert one["ratio"]["median"] > 0 and several["per_seed"]["median"] > 0
    if command == "memory":
        binary, float32 = record["rows"]
        assert 0 < binary["counted"] < float32["counted"]
        assert 0 < binary["process"]["median"] < float32["process"]["median"] or sys.platform != "linux"
    text = (tmp_path / f"{command}.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(record["rows"])
    assert len({line.count("|") for line in rows}) == 1
    assert "Quick run" in text and f"python -m benchmarks {command}" in text
    drawn = [f"{command}.png"] if command in ("products", "step", "profile", "scaling", "energy") else []
    lines = [f"{command}.jsonl"] if command == "estimators" else []
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f"{command}.json", f"{command}.md", *drawn, *lines])


def test_the_accelerator_script_finds_equal_bits_with_jax_optax_and_numpy_alone(tmp_path):
    for name in ("aeon", "matplotlib", "safetensors", "sklearn", "tqdm", "tyro"):
        (tmp_path / f"{name}.py").write_text("raise ImportError(__name__)")
    arguments = ["--quick", "--repetitions", "1", "--seconds", "0", "--out", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHON": sys.executable, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([ROOT / "accelerator.sh", *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out" / "accelerator.json").read_text())["rows"]
    assert [row["what"] for row in rows] == 3 * ["200 steps"] + ["forward", "backward", "outer"] + 3 * ["step"]
    assert all(row["bits"] == "equal" for row in rows[:6]) and all(row["choice"] for row in rows[3:6])


def test_peers_train_what_is_missing_and_answer_every_question(benchmarks, tmp_path, monkeypatch):
    arguments = ["peers", "--quick", "--data", "iris", "--methods", "logistic regression", "--core", "-1"]
    assert benchmarks("__main__").main([*arguments, "--out", str(tmp_path)]) == 0
    file = tmp_path / "peers" / "results.jsonl"
    (line,) = file.read_text().splitlines()
    record = json.loads(line)
    del record["checksum"]  # of that line, not of the one made from it below
    assert record["test_accuracy"] > 0.8 and record["chosen"] in record["settings"]["candidates"]
    assert len(record["validation"]) == len(record["settings"]["candidates"]) == 2
    # A binary network, its C too, in this process and with next to no training.
    child = benchmarks("peers.child")
    with monkeypatch.context() as patch:
        patch.setitem(child.PROTOCOLS["quick"].effort, "epochs", 1)
        found = child.final("BEP dense", "iris", 0, "quick", {"bits": 4, "width": 15})
    assert found["predict_c"] > 0 or "predict_c" not in found
    ours = record | {"method": "BEP dense", "validation": [0.5], "test_accuracy": record["test_accuracy"] - 0.125}
    file.write_text(line + "\n" + json.dumps(ours) + "\n")
    assert benchmarks("__main__").main([*arguments, "--out", str(tmp_path)]) == 0
    assert len(file.read_text().splitlines()) == 2  # nothing was trained again
    text = (tmp_path / "peers" / "accuracy.md").read_text()
    assert "BEP over the best other" in text and "-12.5 |" in text and "peers --quick`" in text
    names = {path.stem for path in (tmp_path / "peers").glob("*.md")}
    assert {q.name for q in benchmarks("peers.tables").QUESTIONS} - names <= {"prediction-c"}
    with pytest.raises(SystemExit, match="there is no method tree; there are BEP dense"):
        benchmarks("__main__").main(["peers", "--methods", "tree", "--core", "-1", "--out", str(tmp_path)])


def test_profile_finds_the_kernels_of_the_step(benchmarks):
    programs, breakdown = benchmarks("programs"), benchmarks("breakdown")
    problem = programs.tiny_rnn()
    kernels = breakdown.kernels(problem)
    calls = {}
    for kernel in kernels:
        calls[kernel.name] = calls.get(kernel.name, 0) + kernel.calls
    # Forward: three time steps, the output layer and the classifier.
    assert calls["forward"] == 5
    assert calls["backward"] == 3


def test_the_products_of_a_step_are_counted(benchmarks):
    programs, steps = benchmarks("programs"), benchmarks("steps")
    mlp = programs.mlp(5, widths=(15, 35), num_inputs=40, group_size=5, steps=2)
    assert steps.step_products(mlp) == {
        ("forward", 5, 15, 40): 1,
        ("forward", 5, 35, 15): 1,
        ("forward", 5, 10, 35): 1,
        ("backward", 5, 35, 15): 1,
        ("outer", 5, 15, 40): 1,
        ("outer", 5, 35, 15): 1,
    }
    rnn = steps.step_products(programs.tiny_rnn())
    assert rnn["forward", 5, 15, 19] == 3 and rnn["backward", 5, 15, 15] == 3
    assert rnn["outer", 15, 15, 4] == 1 and rnn["outer", 15, 15, 15] == 1 and rnn["outer", 5, 15, 15] == 1


def test_ratio_pairs_repetitions(benchmarks):
    timing = benchmarks("timing")
    samples = {"slow a": np.array([4.0, 8.0, 6.0]), "slow b": np.array([9.0, 9.0, 9.0]), "fast": np.array([2.0, 2, 2])}
    assert timing.fastest(samples, "slow") == "slow a"
    assert timing.ratio(samples, "slow a", "fast") == (3.0, 2.5, 3.5)
    assert timing.fastest(samples, "none") is None and timing.ratio(samples, None, "fast") is None


def test_a_report_is_written_whole_or_not_at_all(benchmarks, tmp_path):
    report = benchmarks("report")
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        report.write_atomically(path, None)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    report.write_atomically(path, "new")
    assert path.read_text() == "new"


def test_bad_arguments_are_refused(benchmarks, capsys):
    for arguments in (["nothing"], ["step", "--repetitions", "0"], []):
        with pytest.raises(SystemExit):
            benchmarks("__main__").main(arguments)
    assert "usage: python -m benchmarks" in capsys.readouterr().err


def test_texts_quote_the_tables_of_results(benchmarks, tmp_path):
    readme = benchmarks("readme")
    (tmp_path / "two.md").write_text("# Two\n\n| a |\n| - |\n| 1 |\n\ntext\n\n| b |\n| - |\n")
    assert readme.filled("<!-- two.md -->\nold\n<!-- end -->", tmp_path) == (
        "<!-- two.md -->\n| a |\n| - |\n| 1 |\n\n| b |\n| - |\n<!-- end -->"
    )
    assert readme.filled("x <!-- two.md 2 -->\n<!-- end --> y", tmp_path) == (
        "x <!-- two.md 2 -->\n| b |\n| - |\n<!-- end --> y"
    )
    with pytest.raises(ValueError, match=r"two.md holds 2 tables, wanted number 3"):
        readme.filled("<!-- two.md 3 -->\n<!-- end -->", tmp_path)


def test_committed_texts_are_up_to_date(benchmarks):
    readme = benchmarks("readme")
    for name in readme.TEXTS:
        text = (readme.ROOT / name).read_text(encoding="utf-8")
        assert readme.filled(text) == text, f"{name}: run python -m benchmarks.readme"
