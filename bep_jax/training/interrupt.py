"""Ctrl-C that waits for the epoch in flight."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag: an epoch's old state is donated, so one in flight is finished first."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set  # signals reach the main thread only
        return

    def on_interrupt(signum, frame):
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        from tqdm.auto import tqdm

        tqdm.write("fit: stopping after this epoch; press Ctrl-C again to stop at once")

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
