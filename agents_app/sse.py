"""Headers and constants of all responses of server-sent events (HTML standard, 9.2)."""

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
