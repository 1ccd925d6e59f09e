"""Files that appear under their names complete or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """Writes a file that appears under its name complete or not at all, also when the machine stops halfway."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A hidden folder inside ``folder`` (made if need be) for what a download leaves behind; removed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.mkdtemp(dir=folder, prefix=".download.")
    try:
        yield Path(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    """The process's umask, which only setting it tells; mkstemp would leave a shared cache to its owner alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
