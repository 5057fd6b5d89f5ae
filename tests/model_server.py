"""A server that speaks just enough of OpenAI's protocol, and fails on demand."""

import json
import queue
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any, TypeVar

PATIENCE = 30  # seconds
_END = object()


@dataclass
class ModelServer:
    """What it answers, and what it was asked."""

    base_url: str = ""
    pieces: list[str] = field(default_factory=lambda: ["Hel", "lo"])
    # None: it just ends, without having said that this was all.
    finish_reason: str | None = "stop"
    # Cut the connection after the pieces.
    resets: bool = False
    # What the model thinks before it answers, and what it says its name is.
    thinking: str = ""
    model: str = "served"
    usage: dict[str, int] = field(
        default_factory=lambda: {"prompt_tokens": 5, "completion_tokens": 2}
    )
    # An error instead of an answer: status and body.
    error: tuple[int, dict[str, Any]] | None = None
    # Refuse prompts that are longer than this, as llama.cpp does.
    max_characters: int | None = None
    # Send the first piece, and then nothing until the client goes away.
    hangs: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    client_left: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: dict[str, Any]) -> "Iterable[Piece]":
        """The pieces of the answer to a request."""
        return self.pieces


@dataclass(frozen=True)
class ToolCall:
    """A piece of an answer that calls a tool."""

    name: str
    arguments: dict[str, Any]

    def delta(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": json.dumps(self.arguments)}
        call = {"index": 0, "id": f"call-{self.name}", "type": "function", "function": function}
        return {"role": "assistant", "tool_calls": [call]}


class Thought(str):
    """A piece of an answer that the model thinks instead of saying it."""


Piece = str | ToolCall


def _delta(piece: Piece) -> dict[str, Any]:
    if isinstance(piece, ToolCall):
        return piece.delta()
    return {
        "role": "assistant",
        ("reasoning_content" if isinstance(piece, Thought) else "content"): piece,
    }


class Answer:
    """One answer that a test says piece by piece, and ends."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._pieces: queue.Queue[Any] = queue.Queue()

    def say(self, *pieces: Piece) -> "Answer":
        for piece in pieces:
            self._pieces.put(piece)
        return self

    def think(self, thought: str) -> "Answer":
        return self.say(Thought(thought))

    def end(self) -> None:
        self._pieces.put(_END)

    def __iter__(self) -> Iterator[Piece]:
        while (piece := self._pieces.get(timeout=PATIENCE)) is not _END:
            yield piece


class ToldModel(ModelServer):
    """Says what a test tells it to, when it tells it to."""

    def __init__(self) -> None:
        super().__init__()
        self._prepared: queue.Queue[Answer] = queue.Queue()
        self._asked: queue.Queue[Answer] = queue.Queue()
        self._all: list[Answer] = []

    def asked(self) -> Answer:
        """Wait until somebody asks; returns the answer to be given."""
        return self._asked.get(timeout=PATIENCE)

    def will_say(self, *pieces: Piece) -> None:
        """Give the next answer without being told again."""
        answer = Answer().say(*pieces)
        answer.end()
        self._prepared.put(answer)

    def will_say_first(self, *pieces: str) -> None:
        """Begin the next answer like this; the one who asks is `asked`, and goes on."""
        self._prepared.put(Answer().say(*pieces))

    def fail(self) -> None:
        """Answer with an error, until `recover`."""
        self.error = (500, {"message": "out of order", "type": "server_error"})

    def recover(self) -> None:
        self.error = None

    def release(self) -> None:
        """End whatever is still being said, and forget what a test has left behind."""
        self.recover()
        for answer in self._all:
            answer.end()
        self._all.clear()
        for left_over in (self._prepared, self._asked):
            while not left_over.empty():
                left_over.get_nowait()

    def answer(self, request: dict[str, Any]) -> Iterable[Piece]:
        try:
            answer = self._prepared.get_nowait()
        except queue.Empty:
            answer = Answer()
        answer.messages = request["messages"]
        self._all.append(answer)
        self._asked.put(answer)
        return answer


State = TypeVar("State", bound=ModelServer)


@contextmanager
def served_model(state: State, *, address: str = "127.0.0.1") -> Iterator[State]:
    """Runs while the block does."""

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    state.base_url = f"http://{address}:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_state: ModelServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        state = self.server_state
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state.requests.append(request)
        state.keys.append(self.headers["Authorization"])
        error = state.error
        if state.max_characters and len(json.dumps(request["messages"])) > state.max_characters:
            error = (400, {"message": "too many tokens", "type": "exceed_context_size_error"})
        if error:
            self._send_json(error[0], {"error": error[1]})
        else:
            self._stream(state.answer(request))

    def _send_json(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, pieces: Iterable[Piece]) -> None:
        state = self.server_state
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            if state.thinking:
                pieces = chain([Thought(state.thinking)], pieces)
            for piece in pieces:
                self._send_event(_chunk(_delta(piece)))
                if state.hangs:
                    # Nothing more is read from a client, except that it has gone.
                    self.connection.recv(1)
                    state.client_left.set()
                    return
            if state.resets:
                # Closed like this, it is cut at once.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                return
            if state.finish_reason is None:
                return
            self._send_event(_chunk({}, finish_reason=state.finish_reason))
            self._send_event(_chunk(None, usage=state.usage))
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            state.client_left.set()

    def _send_event(self, data: dict[str, Any]) -> None:
        data = {**data, "model": self.server_state.model}
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


def _chunk(
    delta: dict[str, Any] | None,
    *,
    finish_reason: str | None = None,
    usage: dict[str, int] | None = None,
) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "choices": [] if delta is None else [choice],
        "usage": usage and {**usage, "total_tokens": sum(usage.values())},
    }


if __name__ == "__main__":
    with served_model(ModelServer()) as running:
        sys.stdout.write(f"{running.base_url}\n")
        sys.stdout.flush()
        signal.pause()
