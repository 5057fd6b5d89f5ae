"""A model at the other end of the network, which says what a test wants and when."""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 30
_END = object()


class Answer:
    """One answer of the model: a test says its pieces and ends it."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[Any] = queue.Queue()
        self.left = threading.Event()  # whoever asked has hung up
        self.messages: list[dict[str, Any]] = []

    def say(self, *pieces: str) -> "Answer":
        for piece in pieces:
            self.pieces.put(piece)
        return self

    def end(self) -> None:
        self.pieces.put(_END)


class FakeModel:
    """An OpenAI-compatible server on loopback."""

    def __init__(self) -> None:
        self.failing = False
        self._prepared: queue.Queue[Answer] = queue.Queue()
        self._asked: queue.Queue[Answer] = queue.Queue()
        self._all: list[Answer] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self) -> Answer:
        """Wait until somebody asks; returns the answer to be given."""
        return self._asked.get(timeout=PATIENCE)

    def will_say(self, *pieces: str) -> None:
        """Give the next answer without being told again."""
        answer = Answer().say(*pieces)
        answer.end()
        self._prepared.put(answer)

    def release(self) -> None:
        """End whatever is still being said, and forget what a test has left behind."""
        self.failing = False
        for answer in self._all:
            answer.end()
        self._all.clear()
        for left_over in (self._prepared, self._asked):
            while not left_over.empty():
                left_over.get_nowait()

    def _next_answer(self) -> Answer:
        try:
            answer = self._prepared.get_nowait()
        except queue.Empty:
            answer = Answer()
        self._all.append(answer)
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if model.failing:
                    self.send_error(500)
                    return
                answer = model._next_answer()
                answer.messages = request["messages"]
                model._asked.put(answer)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                try:
                    self._stream(answer)
                except OSError:
                    answer.left.set()

            def _stream(self, answer: Answer) -> None:
                self._chunk({"role": "assistant", "content": ""}, None)
                while (piece := answer.pieces.get(timeout=PATIENCE)) is not _END:
                    self._chunk({"content": piece}, None)
                self._chunk({}, "stop")
                self.wfile.write(b"data: [DONE]\n\n")

            def _chunk(self, delta: dict[str, str], finish: str | None) -> None:
                choice = {"index": 0, "delta": delta, "finish_reason": finish}
                chunk = {
                    "id": "1",
                    "object": "chat.completion.chunk",
                    "created": 0,
                    "model": "fake",
                    "choices": [choice],
                }
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
