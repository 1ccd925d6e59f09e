"""C code compiled for this machine and loaded, where there is a compiler."""

import ctypes
import pathlib
import shutil
import subprocess
import tempfile


def load(source: pathlib.Path) -> ctypes.CDLL | None:
    """A C file as a library, or None where there is no gcc or it fails."""
    if shutil.which("gcc") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder) / f"{source.stem}.so"
        command = ["gcc", "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"native: gcc failed, going on without {source.name}: {done.stderr.strip()}")
            return None
        return ctypes.CDLL(str(library))  # stays loaded after its file is gone
