"""Without the extra, and without asking, nothing of it is imported."""

import subprocess
import sys

CODE = """
import sys
import bep_jax
import bep_jax.estimators
heavy = {"sklearn", "aeon", "scipy.optimize", "pandas"} & set(sys.modules)
assert not heavy, heavy
sys.modules["aeon"] = None
from bep_jax.estimators import BEPClassifier
try:
    bep_jax.estimators.BEPTimeSeriesClassifier
except ImportError as error:
    print(error)
"""


def test_imports():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert 'pip install "bep_jax[data]"' in done.stdout
