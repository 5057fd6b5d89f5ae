"""A real PgBouncer for tests, with the configuration of deploy/, stopped with this process."""

import atexit
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from tests.postgres import Cluster

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / "deploy" / "pgbouncer" / "pgbouncer.ini"

# Debian installs it where only root's PATH looks.
executable = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def start(
    cluster: Cluster,
    *,
    user: str = "postgres",
    password: str = "only-for-tests",
    database: str = "postgres",
) -> str:
    """Start PgBouncer in front of a server; returns the URL of the database through it."""
    if executable is None:
        raise RuntimeError("pgbouncer is not installed")
    folder = Path(tempfile.mkdtemp(prefix="chat-sessions-pgbouncer-"))
    folder.chmod(0o755)  # it may have to run as another user
    port = free_port()
    users = folder / "userlist.txt"
    users.write_text(f'"{user}" "{password}"\n')
    configuration = ConfigParser(interpolation=None)
    configuration.read(CONFIGURATION)
    configuration["databases"]["*"] = f"host={cluster.socket_folder}"
    configuration["pgbouncer"].update(
        {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "auth_file": str(users),
        }
    )
    adapted = folder / "pgbouncer.ini"
    with adapted.open("w") as file:
        configuration.write(file)
    as_user = ["-u", cluster.system_user] if cluster.system_user else []
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [executable, *as_user, str(adapted)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )

    def stop() -> None:
        process.kill()
        process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    wait_for_port(port, process)
    return f"postgresql://{user}:{password}@127.0.0.1:{port}/{database}"


def free_port() -> int:
    """A port for a server to open, outside the range that the kernel uses for connections."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def wait_for_port(port: int, process: "subprocess.Popen[Any]", *, seconds: float = 20) -> None:
    """Return when the process listens there; raises RuntimeError when it does not come to it."""
    give_up_at = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")
