"""Streaming of files while they are generated."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.db import connections

_CHUNK_SIZE = 64 * 1024  # bytes


def buffered(texts: Iterator[str]) -> Iterator[bytes]:
    """Join texts into chunks that are large enough to be sent one by one."""
    chunk = bytearray()
    for text in texts:
        chunk += text.encode()
        if len(chunk) > _CHUNK_SIZE:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


async def iterate_in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Generate each chunk in a thread, so that the event loop is not blocked."""
    while chunk := await sync_to_async(_next, thread_sensitive=False)(chunks):
        yield chunk


def _next(chunks: Iterator[bytes]) -> bytes:
    try:
        return next(chunks, b"")
    finally:
        # The next chunk may be generated in another thread, or never.
        connections.close_all()
