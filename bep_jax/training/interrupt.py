"""What is around a long run: Ctrl-C that waits for the epoch in flight, and a place for the progress bar."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TextIO


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag: an epoch's old state is donated, so one in flight is finished first.

    A handler that was not set from Python (None), of the program around it, stays as it is.
    """
    pressed = threading.Event()

    def on_interrupt(signum, frame):
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        from tqdm.auto import tqdm

        tqdm.write("fit: stopping after this epoch; press Ctrl-C again to stop at once", file=progress_file())

    previous = signal.getsignal(signal.SIGINT)
    if previous is None:
        yield pressed.is_set
        return
    try:
        signal.signal(signal.SIGINT, on_interrupt)
    except ValueError:  # signals reach the main thread of the main interpreter only
        yield pressed.is_set
        return
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, previous)


def progress_file() -> TextIO:
    """Standard error, as it is at each write; what it does not take, closed or broken as it may be, is dropped."""
    return _Forgiving()  # type: ignore[return-value]


class _Forgiving:
    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)
