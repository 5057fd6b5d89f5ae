"""A file that a worker touches, for whoever restarts workers that hang (WORKER_HEARTBEAT_FILE).

It tells whether the event loop turns, and nothing else. A worker waits for a database that is away:
to be restarted for that would cost it what it has.
"""

import asyncio
from pathlib import Path

_INTERVAL = 5  # seconds


def start(path: Path) -> asyncio.Task[None]:
    """Touch the file now and, in this event loop, again and again; raises if it cannot be."""
    path.touch()
    return asyncio.create_task(_keep_touching(path), name="heartbeat file")


async def _keep_touching(path: Path) -> None:
    while True:
        await asyncio.sleep(_INTERVAL)
        path.touch()
