"""A model in a separate process that answers every request at a fixed pace, cheaply.

    python -m tests.bench.paced_model [SECONDS]

Speaks OpenAI's protocol and prints its base URL. Each answer is TEXT, one token at a time,
starting SECONDS after the request. Everything it sends is encoded in advance, so that hundreds of
streams leave the processor to the server that is measured.
"""

import asyncio
import json
import re
import sys
from typing import Any

TEXT = """\
A **session** is stored together with its first message, in one transaction, so that none is \
ever left without a message. Whoever adds a message later goes through the same few steps.

## Writing a message

1. The *writer* locks the session's row, which also records the time of the last activity.
2. It takes the next `position` under that lock, so that two messages never share one.
3. It inserts the message and commits. When the session is gone, it raises `SessionGone`.

## Removing sessions

The *cleaner* works in batches, and each batch is a transaction of its own:

- It locks candidates in the order of their keys, and skips the rows that others have locked.
- It checks the whole condition again, because a message may have been committed meanwhile.
- It removes exactly those that still match, and archives them in the same transaction.

```python
with transaction.atomic():
    batch = Session.objects.removable().order_by("pk").select_for_update(skip_locked=True)
    Session.objects.removable().filter(pk__in=list(batch[:1000])).delete()
```

Neither side waits long for the other: a writer waits for one batch at most, and the cleaner \
never waits for a writer. That is why **no message is lost**, however many processes write and \
clean up at once, and why a cleanup may run in the daytime.
"""
_TOKEN_LENGTH = -(-len(TEXT) // 60)
TOKENS = [TEXT[start : start + _TOKEN_LENGTH] for start in range(0, len(TEXT), _TOKEN_LENGTH)]
TOKENS_PER_SECOND = 33


def _chunk(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "paced",
        "choices": choices,
        "usage": usage,
    }
    return _framed(b"data: %s\n\n" % json.dumps(event).encode())


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]


def _framed(data: bytes) -> bytes:
    """One chunk of HTTP's chunked transfer coding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNKS = [_chunk(_choice({"role": "assistant", "content": token})) for token in TOKENS]
_USAGE = {"prompt_tokens": 5, "completion_tokens": len(TOKENS), "total_tokens": 5 + len(TOKENS)}
_END = b"".join(
    [
        _chunk(_choice({}, finish_reason="stop")),
        _chunk([], _USAGE),
        _framed(b"data: [DONE]\n\n"),
        b"0\r\n\r\n",
    ]
)
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Connection(asyncio.Protocol):
    """Answers one request after another."""

    def __init__(self, first_token_after: float) -> None:
        self._first_token_after = first_token_after
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        if found and length and len(body) >= int(length[1]):
            self._received = b""
            self._starts_at = self._loop.time() + self._first_token_after
            self._transport.write(_HEAD)
            self._send_token(0)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def _send_token(self, number: int) -> None:
        due_at = self._starts_at + number / TOKENS_PER_SECOND
        self._timer = self._loop.call_at(due_at, self._write, number)

    def _write(self, number: int) -> None:
        if number == len(_CHUNKS):
            self._transport.write(_END)
        else:
            self._transport.write(_CHUNKS[number])
            self._send_token(number + 1)


async def _serve(first_token_after: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(first_token_after), "127.0.0.1", 0, backlog=1000
    )
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}/v1\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
