"""Clients that read many streams of server-sent events at once, cheaply, in one process.

    python -m tests.bench.stream_clients <load >answers

Reads a JSON object: `requests`, a list of objects with `port` (on this machine), `request`
(HTTP/1.1, as text) and `first_text` (how the first event with text begins), and `spread`, the
seconds over which their starts are spread. Prints a JSON list with one object for each
request, in the same order:

    status   of its `end` event, or why there was none
    bytes    of the response's body, without headers and framing
    first    seconds from the request to the first event with text; null when there was none
    first_at when that event came, in seconds of the machine's monotonic clock
"""

import asyncio
import json
import sys
import time
from typing import Any

_TIMEOUT = 300  # seconds for one answer
_END = b"event: end\ndata: "


class _Stream(asyncio.Protocol):
    """Sends one request, and reads its response to the end."""

    def __init__(self, request: str, first_text: str) -> None:
        self._request = request.encode()
        self._first_text = first_text.encode()
        self._buffer = b""
        self._body = bytearray()
        self._in_body = False
        self._sent_at = 0.0
        self._first_at: float | None = None
        self._status = ""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sent_at = time.monotonic()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._in_body:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 200 "):
                self.end(head.partition(b"\r\n")[0].decode())
                return
            self._in_body, self._buffer = True, rest
        self._read_chunks()

    def _read_chunks(self) -> None:
        """Move complete chunks of the chunked transfer coding into the body."""
        while (line_end := self._buffer.find(b"\r\n")) >= 0:
            size = int(self._buffer[:line_end], 16)
            start = line_end + 2
            if len(self._buffer) < start + size + 2:
                return
            self._body += self._buffer[start : start + size]
            self._buffer = self._buffer[start + size + 2 :]
            if self._first_at is None and self._first_text in self._body:
                self._first_at = time.monotonic()
            if size == 0:
                self.end(self._status_of_end_event())
                return

    def _status_of_end_event(self) -> str:
        _, found, data = bytes(self._body).rpartition(_END)
        return str(json.loads(data)["status"]) if found else "no end event"

    def connection_lost(self, _error: Exception | None) -> None:
        self.end("cut off")

    def end(self, status: str) -> None:
        if not self.ended.done():
            self._status = status
            self.ended.set_result(None)
            self._transport.close()

    def result(self) -> dict[str, Any]:
        first = None if self._first_at is None else self._first_at - self._sent_at
        return {
            "status": self._status,
            "bytes": len(self._body),
            "first": first,
            "first_at": self._first_at,
        }


async def _read(port: int, request: str, first_text: str, delay: float) -> dict[str, Any]:
    await asyncio.sleep(delay)
    stream = _Stream(request, first_text)
    await asyncio.get_running_loop().create_connection(lambda: stream, "127.0.0.1", port)
    await asyncio.wait([stream.ended], timeout=_TIMEOUT)
    stream.end("timed out")  # unless it has ended
    return stream.result()


async def _read_all(load: dict[str, Any]) -> list[dict[str, Any]]:
    requests, spread = load["requests"], load["spread"]
    return await asyncio.gather(
        *(
            _read(**request, delay=spread * number / len(requests))
            for number, request in enumerate(requests)
        )
    )


if __name__ == "__main__":
    json.dump(asyncio.run(_read_all(json.load(sys.stdin))), sys.stdout)
