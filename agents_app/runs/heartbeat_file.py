"""A file that a worker touches, so that one that hangs can be restarted (WORKER_HEARTBEAT_FILE).

It shows that the event loop runs, and nothing else. A worker waits while the database is
unavailable: a restart would lose the answers that it has not stored yet.
"""

import asyncio
from pathlib import Path

_INTERVAL = 5  # seconds


def start(path: Path) -> asyncio.Task[None]:
    """Touch the file now, and then regularly in this event loop; raises OSError if it cannot."""
    path.touch()
    return asyncio.create_task(_keep_touching(path), name="heartbeat file")


async def _keep_touching(path: Path) -> None:
    while True:
        await asyncio.sleep(_INTERVAL)
        path.touch()
