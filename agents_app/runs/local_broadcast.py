"""Broadcasts the text of runs to their watchers in this process.

A worker of this process publishes its run's text, its reasoning and its use of tools, without
delay; for a run of another process agents_app.runs.watching publishes the text, from the run's row.
"""

import asyncio
import enum
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import UUID

from agents_app.models import AgentRun
from sessions_app.models import Message

# The agent library takes a second to import, for which no request should wait.
if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage


class Signal(enum.Enum):
    """What a watcher gets in addition to the text."""

    QUIET = "there was nothing new for a while"
    WAITING = "the run waits for its turn"
    RESTARTED = "the run was taken over, and its text starts over"


@dataclass(frozen=True)
class Reasoning:
    """A piece of the model's reasoning, which is stored with the answer only."""

    text: str


@dataclass(frozen=True)
class ToolUse:
    """A message of the answer that has tool calls or their outputs."""

    message: "ModelMessage"


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and the messages that it has stored. Not every run leaves one."""

    run: AgentRun
    rows: list[Message]


Published = str | Reasoning | ToolUse
Piece = Published | Signal | Outcome


class Broadcast:
    """The growing text of one run: one publisher, any number of watchers."""

    def __init__(self) -> None:
        self._pieces: list[Published] = []
        self._texts: list[str] = []  # of the pieces
        self._restarts = 0
        self._is_waiting = False
        self._ended = False
        self._outcome: Outcome | None = None
        self._lock = threading.Lock()
        self._watchers: set[_Watcher] = set()

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def publish(self, piece: Published) -> None:
        with self._lock:
            self._pieces.append(piece)
            if isinstance(piece, str):
                self._texts.append(piece)
            watchers = list(self._watchers)
        _wake(watchers)

    def set_waiting(self, value: bool) -> None:
        """Whether the run waits for its turn."""
        with self._lock:
            # Woken once only: otherwise watchers would never notice that nothing is published.
            watchers = list(self._watchers) if value and not self._is_waiting else []
            self._is_waiting = value
        _wake(watchers)

    def restart(self) -> None:
        """Discard what was published so far."""
        with self._lock:
            self._pieces, self._texts = [], []
            self._restarts += 1
            watchers = list(self._watchers)
        _wake(watchers)

    def end(self, outcome: Outcome | None = None) -> None:
        """Nothing more will be published, and the run's row says how it ended."""
        with self._lock:
            self._ended = True
            self._outcome = outcome
            watchers = list(self._watchers)
        _wake(watchers)

    async def follow(self, *, quiet_seconds: float) -> AsyncGenerator[Piece]:
        """The text from the start, piece by piece, until the run has ended.

        If this process works on the run, its reasoning and tool use come in between. Yields
        Signal.QUIET whenever nothing was published for `quiet_seconds`, Signal.WAITING when the run
        has to wait for its turn, and Signal.RESTARTED when the text so far is void; an Outcome, if
        there is one, comes last.
        """
        watcher = _Watcher()
        with self._lock:
            self._watchers.add(watcher)
            restarts = self._restarts
        seen = 0
        has_signalled_waiting = False
        try:
            while True:
                with self._lock:
                    restarted = self._restarts != restarts
                    restarts = self._restarts
                    seen = 0 if restarted else seen
                    fresh, seen = self._pieces[seen:], len(self._pieces)
                    ended = self._ended
                    is_waiting = self._is_waiting
                    has_signalled_waiting = has_signalled_waiting and is_waiting
                if restarted:
                    yield Signal.RESTARTED
                if fresh:
                    for piece in _join_texts(fresh):
                        yield piece
                elif restarted:
                    continue
                elif ended:
                    if self._outcome is not None:
                        yield self._outcome
                    return
                elif is_waiting and not has_signalled_waiting:
                    has_signalled_waiting = True
                    yield Signal.WAITING
                elif not await watcher.wait(quiet_seconds):
                    yield Signal.QUIET
        finally:
            with self._lock:
                self._watchers.discard(watcher)


class _Watcher:
    """Waits in its own event loop, and can be woken from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._thread = threading.get_ident()

    def wake(self) -> None:
        if self._event.is_set() or self._loop.is_closed():
            return
        if threading.get_ident() == self._thread:
            self._event.set()  # without the self-pipe, which costs a system call per piece
        else:
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> bool:
        """Return True when woken, and False after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


def _join_texts(pieces: Iterable[Published]) -> Iterator[Published]:
    """The pieces, with texts that follow each other as one, and likewise reasoning."""
    for kind, group in groupby(pieces, key=type):
        same = list(group)
        if kind is str:
            yield "".join(piece for piece in same if isinstance(piece, str))
        elif kind is Reasoning:
            yield Reasoning("".join(piece.text for piece in same if isinstance(piece, Reasoning)))
        else:
            yield from same


def _wake(watchers: list[_Watcher]) -> None:
    for watcher in watchers:
        watcher.wake()


_broadcasts: dict[UUID, Broadcast] = {}


def open_broadcast(run_id: UUID) -> Broadcast:
    """Called before the work on a run starts."""
    _broadcasts[run_id] = Broadcast()
    return _broadcasts[run_id]


def get_broadcast(run_id: UUID) -> Broadcast | None:
    """The broadcast of a run that this process works on."""
    return _broadcasts.get(run_id)


def close_broadcast(run_id: UUID, broadcast: Broadcast, outcome: Outcome | None = None) -> None:
    """Called when the run's row says how it ended, or another broadcast of it was opened."""
    if _broadcasts.get(run_id) is broadcast:
        del _broadcasts[run_id]
    broadcast.end(outcome)
