"""Files of data: where they are, and what is said where they are not."""

import os
from pathlib import Path

INSTALL = 'pip install "bep_jax[data]"'


def root(data_dir: str | os.PathLike | None) -> Path:
    """``data_dir``, else ``$BEP_JAX_DATA``, else ``~/.cache/bep_jax``."""
    return Path(data_dir or os.environ.get("BEP_JAX_DATA") or Path.home() / ".cache" / "bep_jax").expanduser()


def missing(name: str, paths: list[Path], source: str, reason: Exception) -> FileNotFoundError:
    """The error for files that are neither there nor to be had."""
    wanted = "".join(f"\n  {path}" for path in paths)
    return FileNotFoundError(
        f"load: the files of {name!r} are not there, and downloading them failed ({type(reason).__name__}: {reason}). "
        f"Wanted:{wanted}\nGet them from {source}, or name the folder that holds them by data_dir or $BEP_JAX_DATA."
    )
