"""Files that are sent while they are being made."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.db import connections

_PIECE = 64 * 1024  # bytes


def buffered(texts: Iterator[str]) -> Iterator[bytes]:
    """Pieces that are worth being sent by themselves."""
    piece = bytearray()
    for text in texts:
        piece += text.encode()
        if len(piece) > _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def iterate_in_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, each of them made in a thread: the event loop continues meanwhile."""
    while piece := await sync_to_async(_next, thread_sensitive=False)(pieces):
        yield piece


def _next(pieces: Iterator[bytes]) -> bytes:
    try:
        return next(pieces, b"")
    finally:
        # The next piece may be made in another thread, or never be asked for.
        connections.close_all()
