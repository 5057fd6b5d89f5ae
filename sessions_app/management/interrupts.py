"""SIGINT (Ctrl-C) and SIGTERM as a request to stop after the current batch."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType


@dataclass
class StopRequest:
    """Whether to stop, and the signal that requested it."""

    requested: threading.Event = field(default_factory=threading.Event)
    received_signal: signal.Signals | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; the second one raises KeyboardInterrupt."""
        if self.received_signal:
            raise KeyboardInterrupt
        self.received_signal = signal.Signals(number)
        self.requested.set()


@contextlib.contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first signal within the block into a stop request."""
    stop = StopRequest()
    with contextlib.ExitStack() as restore:
        # Python lets only the main thread set signal handlers.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                restore.callback(signal.signal, number, signal.signal(number, stop.handle))
        yield stop
