"""How every test runs: strict promotion, eight virtual CPU devices, one hypothesis profile, no display.

Warnings are errors by pyproject.toml.
"""

import gc
import importlib.util
import os
import tempfile

# The flags and the plotting backend are read once, at import: set them before anything imports jax. Most of a test's
# time is compilation, so programs are compiled in the quickest way, in a third of the time. What must be exact as users
# run it asks for `cases.OPTIMISED`.
os.environ["XLA_FLAGS"] = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    f"--xla_force_host_platform_device_count=8 {os.environ.get('XLA_FLAGS', '')}"
).strip()
os.environ["MPLBACKEND"] = "Agg"
# What one worker compiled, the others and the processes that tests start read; workers inherit the name of the folder.
if "PYTEST_XDIST_WORKER" not in os.environ:
    PROGRAMS = tempfile.TemporaryDirectory(prefix="bep_jax-programs-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import hypothesis
import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The first example of a property often compiles, which hypothesis would take for a slow generator.
hypothesis.settings.register_profile(
    "bep_jax",
    deadline=None,
    derandomize=True,
    max_examples=20,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("bep_jax")


# Files whose tests together take a minute on two cores: what `pytest -m quick` runs.
QUICK = (
    "test_rooms.py",
    "files/",
    "kernels/test_bits.py",
    "kernels/test_seeds.py",
    "network/test_dense.py",
    "network/test_model.py",
    "network/test_summary.py",
    "learning/test_laws.py",
    "learning/test_rule.py",
    "learning/test_reference.py",
    "data/test_features.py",
)


def pytest_configure(config):
    # Of a file that another worker is still writing: the program is compiled as if it were not there.
    config.addinivalue_line("filterwarnings", "ignore:Error (reading|writing) persistent compilation cache entry")


def pytest_collection_modifyitems(config, items):
    for item in items:
        place = item.path.relative_to(config.rootpath / "tests").as_posix()
        if place.startswith(QUICK):
            item.add_marker(pytest.mark.quick)


def pytest_collection_finish():
    """Modules and tests live to the end: the collector need not look at them whenever a trace has filled memory."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_report_header():
    """Say which bep_jax is under test (the installed one or, after an editable install, the checkout), and how long."""
    spec = importlib.util.find_spec("bep_jax")
    location = spec.origin if spec else "not installed"
    return [
        f"bep_jax: {location}; jax {jax.__version__}, {jax.device_count()} devices",
        "all tests take about ten minutes on two cores; pytest -m quick takes one",
    ]
