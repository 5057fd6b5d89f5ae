"""Ctrl-C and SIGTERM as a request to stop at the next good moment."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType


@dataclass
class Stop:
    """Whether to stop, and which signal asked for it."""

    event: threading.Event = field(default_factory=threading.Event)
    by: signal.Signals | None = None


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Within it, the first signal sets the event; a second one raises KeyboardInterrupt."""
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.by:
            raise KeyboardInterrupt
        stop.by = signal.Signals(number)
        stop.event.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
