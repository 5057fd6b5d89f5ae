"""Server-sent events (HTML standard, 9.2): headers, keep-alive, encoding."""

import json
from collections.abc import Mapping

CONTENT_TYPE = "text/event-stream"
HEADERS = {
    "Content-Type": CONTENT_TYPE,
    "Cache-Control": "no-cache",
    # Proxies must not buffer it, and middleware must not compress it.
    "X-Accel-Buffering": "no",
    "Content-Encoding": "identity",
}
# A comment, which clients ignore, keeps a quiet connection open.
KEEP_ALIVE = b": keep-alive\n\n"
QUIET_SECONDS = 5


def encode_event(data: Mapping[str, object], *, name: str = "") -> bytes:
    """Encode an event with JSON as its data; one without a name is a `message`."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    field = f"event: {name}\n" if name else ""
    return f"{field}data: {text}\n\n".encode()
