"""How much later a watcher in another web process sees the first text of an answer.

Two web processes share a database. Chats are started in the first one, and their events are
read from both, by the same user, before the model sends its first token.
"""

import json
import socket
from statistics import median
from typing import Any

from rich.console import Console

from tests.bench.bounds import Report
from tests.bench.data import Databases
from tests.bench.processes import announced, read_streams
from tests.bench.targets import Product

_CHATS = 20
_FIRST_TOKEN_AFTER = 4  # seconds; by then both watchers are connected
# Nothing listens there, so that processes are not woken by NOTIFY.
_NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"
_WAKING: dict[str, tuple[dict[str, str], int]] = {  # and the bounds in milliseconds
    "with NOTIFY": ({}, 150),
    "without NOTIFY": ({"DATABASE_DIRECT_URL": _NOWHERE}, 400),
}


def run(databases: Databases, console: Console) -> list[str]:
    """Print the delays; returns which bounds were missed."""
    report = Report("First text at a watcher in another process, after the process that answers")
    with announced("tests.bench.paced_model", str(_FIRST_TOKEN_AFTER)) as model_url:
        product = Product(databases, model_url, users=_CHATS)
        for waking, (variables, bound) in _WAKING.items():
            with product.serve(web_processes=2, **variables) as serving:
                start_and_watch(product, serving.ports)  # warms both of them up
                answers = start_and_watch(product, serving.ports)
            delays = [
                (there["first_at"] - here["first_at"]) * 1000
                for here, there in answers
                if here["first_at"] and there["first_at"]
            ]
            failed = sum(watcher["status"] != "done" for pair in answers for watcher in pair)
            delay = median(delays or [float("inf")])
            report.add(f"delay, {waking}", [delay], "{:.0f} ms", at_most=bound)
            report.add(f"failed, {waking}", [failed], "{:.0f}", at_most=0)
    console.print(report.table)
    return report.missed


def start_and_watch(product: Product, ports: list[int]) -> list[list[dict[str, Any]]]:
    """The answers of each chat, one per process; tests.bench.stream_clients describes them."""
    requests = []
    for number in range(_CHATS):
        path = _start_chat(product, number, ports[0])
        requests += [
            {
                "port": port,
                "request": product.get(path, number),
                "first_text": product.first_text,
            }
            for port in ports
        ]
    answers = read_streams(requests, spread=0)
    return [answers[start : start + len(ports)] for start in range(0, len(answers), len(ports))]


def _start_chat(product: Product, number: int, port: int) -> str:
    """The path of the answer's events."""
    request = product.post(number, accept="application/json")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request.encode())
        with connection.makefile("rb") as response:
            _, _, body = response.read().partition(b"\r\n\r\n")
    path: str = json.loads(body)["events"]
    return path
