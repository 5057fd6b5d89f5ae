"""Two machines, each with its own network and host name: web on one, workers on both."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.concurrency.helpers import PATIENCE
from tests.concurrency.test_outages import ANSWERS, Chats, environment
from tests.concurrency.test_streams import ask, read_until
from tests.conftest import ROOT
from tests.model_server import ToldModel, served_model
from tests.postgres import Cluster

ip = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")


def can_have_namespaces() -> bool:
    command = ["unshare", "--net", "--uts", "hostname", "x"]
    return ip is not None and subprocess.call(command, stderr=subprocess.DEVNULL) == 0


pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="workers need PostgreSQL"),
    pytest.mark.skipif(not can_have_namespaces(), reason="needs namespaces of the network"),
]

NETWORK = f"198.18.{secrets.randbelow(256)}"  # of addresses that are meant for tests (RFC 2544)
PORT = 8000
HOSTS = """
SELECT host, count(*) FROM agent_runs JOIN worker_processes AS process ON process.id = process_id
GROUP BY host
"""


class Machine:
    """A cable leads to it, at whose ends are the addresses `here` and `address`."""

    def __init__(self, name: str, number: int, stack: ExitStack) -> None:
        self.name = name
        self.here, self.address = (f"{NETWORK}.{4 * number + end}" for end in (1, 2))
        self._processes: list[subprocess.Popen[bytes]] = []
        # Namespaces go with their last process, and the cable with them.
        holder = stack.enter_context(
            subprocess.Popen(
                ["unshare", "--net", "--uts", "sh", "-c", f"hostname {name} && echo && exec cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        stack.callback(holder.kill)
        assert holder.stdout
        assert holder.stdout.readline() == b"\n"
        self._enter = ["nsenter", f"--target={holder.pid}", "--net", "--uts"]
        self._cable = cable = f"test-{secrets.token_hex(4)}"
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        _ip("address", "add", f"{self.here}/30", "dev", cable)
        _ip("link", "set", cable, "up")
        _ip("address", "add", f"{self.address}/30", "dev", "eth0", inside=self._enter)
        _ip("link", "set", "eth0", "up", inside=self._enter)

    def start(self, *arguments: str, model: ToldModel) -> "subprocess.Popen[bytes]":
        """Run the product's Python there; of this machine it can only reach `here`."""
        port = urlsplit(model.base_url).port
        process = subprocess.Popen(
            [*self._enter, sys.executable, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                **environment(model, ANSWERS_IN="workers"),
                "AGENT_BASE_URL": f"http://{self.here}:{port}/v1",
                "DATABASE_URL": f"postgresql://postgres@{self.here}:5432/postgres",
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "DEBUG": "on",
                "ALLOWED_HOSTS": self.address,
            },
            stdin=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """End what was started there."""
        for process in self._processes:
            process.kill()
            process.wait()

    def worker(self, model: ToldModel) -> "subprocess.Popen[bytes]":
        """Start a worker for half of the answers."""
        half = f"--concurrency={ANSWERS // 2}"
        return self.start("manage.py", "procrastinate", "worker", half, model=model)

    def cut_off(self) -> None:
        """Pull the cable; whatever runs there goes on."""
        _ip("link", "set", self._cable, "down")

    def serve(self, model: ToldModel) -> str:
        """Serve the product there; returns its address."""
        where = ("--host", self.address, "--port", str(PORT), "--log-level", "error")
        process = self.start("-m", "uvicorn", "config.asgi:application", *where, model=model)
        give_up_at = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((self.address, PORT), timeout=1).close()
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < give_up_at
                time.sleep(0.05)
            else:
                return f"http://{self.address}:{PORT}"


def _ip(*arguments: str, inside: list[str] | None = None) -> None:
    subprocess.run([*(inside or []), ip or "", *arguments], check=True)


@pytest.fixture
def machines() -> Iterator[list[Machine]]:
    with ExitStack() as stack:
        yield [Machine(name, number, stack) for number, name in enumerate(("left", "right"))]


@pytest.fixture
def chats(machines: list[Machine]) -> Iterator[Chats]:
    """On this machine, and reached from both."""
    cluster = Cluster()
    cluster.listen_on(*(machine.here for machine in machines))
    yield Chats(cluster)
    for machine in machines:
        machine.stop()
    cluster.stop()


@pytest.mark.parametrize("fate", ["killed", "cut off"])
def test_answers_of_one_machine_are_given_by_the_other(
    chats: Chats, machines: list[Machine], fate: str
) -> None:
    left, right = machines
    with served_model(ToldModel(), address="0.0.0.0") as model:
        site = left.serve(model)
        _, worker = left.worker(model), right.worker(model)
        streams = [ask(site, chats.cookies, chats.agent_id) for _ in range(ANSWERS)]
        answers = [model.asked().say("So far") for _ in streams]
        for stream in streams:
            read_until(stream, "So far")
        assert dict(chats.query(HOSTS)) == {"left": ANSWERS / 2, "right": ANSWERS / 2}
        if fate == "killed":
            worker.kill()
        else:
            right.cut_off()
        for answer in answers:
            answer.end()  # what the left one works on is complete
        for _ in range(ANSWERS // 2):
            model.asked().say("From the start").end()
        for stream in streams:
            read_until(stream, '"status":"done"')
    said = Counter(text for text, _ in chats.stored())
    assert said == Counter({"So far": ANSWERS // 2, "From the start": ANSWERS // 2})
