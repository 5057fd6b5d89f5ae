"""Serves the product on a local port, in a separate process, as in production."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Server:
    """Where it listens, and its process."""

    address: str
    process: subprocess.Popen[str]


@contextmanager
def serve(
    database_url: str,
    stderr: int | None = None,
    application: str = "config.asgi:application",
    /,
    **environment: str,
) -> Iterator["Server"]:
    """Serve an ASGI application, the product by default, while the block runs."""
    # Bound here, so that early connections wait in the queue.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # A server sets this on sockets that it opens itself, not on one that it is passed.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        process = subprocess.Popen(
            [
                *[sys.executable, "-m", "uvicorn", application],
                *["--fd", str(listening.fileno())],
                *["--timeout-graceful-shutdown", "5"],
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "DATABASE_URL": database_url,
                "UVICORN_LOG_LEVEL": "error",
                "DEBUG": "on",  # serves static files as they are
                **environment,
            },
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
        )
        try:
            yield Server(f"http://127.0.0.1:{listening.getsockname()[1]}", process)
        finally:
            process.terminate()
            process.wait(timeout=30)
