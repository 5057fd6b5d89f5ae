"""The development server, in a separate process: it prints its address once it serves."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.conftest import ROOT


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "DEBUG": "on",
    }


def start(port: int, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "config.dev_server", "127.0.0.1", str(port)],
        cwd=ROOT,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_address_is_printed_once_requests_are_served(tmp_path: Path) -> None:
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=ROOT, env=environment(tmp_path), check=True)
    with start(0, tmp_path) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            found = re.fullmatch(
                r"Serving on (http://127\.0\.0\.1:\d+/) \(stop with Ctrl-C\)\n", line
            )
            assert found, line
            # Without retries: the line promises that requests are served.
            with urllib.request.urlopen(f"{found[1]}healthz", timeout=60) as response:
                assert response.status == 200
        finally:
            server.send_signal(signal.SIGINT)
            out, err = server.communicate(timeout=60)
    assert (out, err) == ("", "")
    assert server.returncode == 0


def test_a_port_in_use_is_a_one_line_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(port, tmp_path) as server:
            out, err = server.communicate(timeout=60)
    assert server.returncode == 1
    assert out == ""
    [line] = err.splitlines()
    assert str(port) in line
    assert "address already in use" in line


def test_make_run_starts_it_and_prints_no_address_itself() -> None:
    recipe = subprocess.run(
        ["make", "--dry-run", "run", "PORT=8123", "ADDRESS=127.0.0.2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "-m config.dev_server 127.0.0.2 8123" in recipe
    assert "Serving on" not in recipe
