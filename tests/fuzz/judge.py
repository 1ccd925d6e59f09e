"""Whether a call ended as it may."""

import contextlib
import io
import os
import re
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

# Errors that are for users begin with the function, or name the file.
OURS = re.compile(r"\w[\w.]*: |.*No such file|.*Is a directory|.*No such compile option", re.DOTALL)
BINDING = re.compile(r"missing \d+ required|unexpected keyword|takes \d+ positional|multiple values")


class Outcome(NamedTuple):
    """How a call ended."""

    ok: bool
    what: str


def judged(call: Callable[[], Any]) -> Outcome:
    """Calls, and says whether the end is a result or an error of ours."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            jax.block_until_ready(jax.tree.leaves(call()))
    except (ValueError, TypeError, OSError, ImportError, jax.errors.JaxRuntimeError) as error:
        text = str(error)
        named = isinstance(error, OSError) and error.filename is not None
        if named or OURS.match(text) or (isinstance(error, TypeError) and BINDING.search(text)) or _of_sklearn(error):
            return Outcome(True, f"{type(error).__name__}: {text}")
        return Outcome(False, _told(error))
    except BaseException as error:
        return Outcome(_of_user(error), _told(error))
    return Outcome(True, "result")


def _of_sklearn(error: BaseException) -> bool:
    """Of scikit-learn's own checks of data, which users of its estimators know."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return f"{os.sep}sklearn{os.sep}utils" in last or f"{os.sep}aeon{os.sep}" in last


def _of_user(error: BaseException) -> bool:
    """Of a function that was given to us."""
    return traceback.extract_tb(error.__traceback__)[-1].filename.endswith(f"fuzz{os.sep}strange.py")


def _told(error: BaseException) -> str:
    place = [f for f in traceback.extract_tb(error.__traceback__) if f"bep_jax{os.sep}" in f.filename][-1:]
    where = f" at {place[0].filename.rpartition('bep_jax' + os.sep)[2]}:{place[0].lineno}" if place else ""
    return f"{type(error).__name__}: {str(error)[:160]!r}{where}"
