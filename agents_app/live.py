"""The runs that this process works on, for watchers in the same process.

What a worker appends reaches its watchers from memory, without a delay. A watcher elsewhere
reads the run's row instead (see agents_app.streaming).
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from uuid import UUID


class LiveRun:
    """The text of a run as it grows; one worker appends, any number of watchers follow."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._ended = False
        self._lock = threading.Lock()
        self._watchers: set[_Watcher] = set()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def append(self, piece: str) -> None:
        with self._lock:
            self._pieces.append(piece)
        self._wake()

    def end(self) -> None:
        """Nothing more will come, and the run's row says how it ended."""
        with self._lock:
            self._ended = True
        self._wake()

    async def follow(self, *, quiet_seconds: float) -> AsyncGenerator[str]:
        """The text from the start, piece by piece, until the run has ended.

        An empty piece says that nothing has come for `quiet_seconds`.
        """
        watcher = _Watcher()
        with self._lock:
            self._watchers.add(watcher)
        seen = 0
        try:
            while True:
                with self._lock:
                    fresh, seen = self._pieces[seen:], len(self._pieces)
                    ended = self._ended
                if fresh:
                    yield "".join(fresh)
                elif ended:
                    return
                elif not await watcher.woken(quiet_seconds):
                    yield ""
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def _wake(self) -> None:
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.wake()


class _Watcher:
    """Waits in its own event loop, and is woken from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def woken(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


_runs: dict[UUID, LiveRun] = {}
_closed = threading.Event()


def close() -> None:
    """The process is about to end: nobody shall watch any longer."""
    _closed.set()


def is_closed() -> bool:
    return _closed.is_set()


def open_run(run_id: UUID) -> LiveRun:
    """Called by the one who has taken the run on, before the work starts."""
    _runs[run_id] = LiveRun()
    return _runs[run_id]


def get_run(run_id: UUID) -> LiveRun | None:
    return _runs.get(run_id)


def close_run(run_id: UUID) -> None:
    """Called by the worker when the row says how the run ended."""
    live = _runs.pop(run_id, None)
    if live is not None:
        live.end()
