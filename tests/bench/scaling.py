"""How many answers per second two web processes give, compared with one.

All chats start at once: more than one process can answer at the model's pace. Clients are split
between the processes, without a proxy. The model, the clients and PostgreSQL need processors too:
with fewer than `_CORES`, answers per second do not show what a second process adds, so the bound is
for the CPU time per answer.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from tests.bench.bounds import Report
from tests.bench.data import Databases
from tests.bench.processes import announced, cpu_seconds
from tests.bench.streams import ask
from tests.bench.targets import Product

_FASTER = 1.6
_CORES = 5  # two for the processes, and one each for the model, the clients and PostgreSQL
_WARM_UP = 10  # chats of each process


@dataclass(frozen=True)
class Throughput:
    """What a number of web processes achieved."""

    per_second: float
    cpu_ms: float
    failed: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chats", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the throughput of one and of two; returns which bounds were missed."""
    with announced("tests.bench.paced_model") as model_url:
        product = Product(databases, model_url, users=max(options.chats, 2 * _WARM_UP))
        rounds = [
            [measure(product, processes, options.chats) for processes in (1, 2)]
            for _ in range(options.rounds)
        ]
    report = Report(f"{options.chats} chats at once in one and in two web processes")

    def values(of: Callable[[Throughput], float], side: int) -> list[float]:
        return [of(pair[side]) for pair in rounds]

    for side, processes in enumerate(("one process", "two processes")):
        report.add(f"answers, {processes}", values(lambda t: t.per_second, side), "{:.1f} per s")
        report.add(f"CPU per answer, {processes}", values(lambda t: t.cpu_ms, side), "{:.0f} ms")
    has_cores = (os.cpu_count() or 1) >= _CORES
    report.add(
        "answers, two to one",
        [two.per_second / one.per_second for one, two in rounds],
        "{:.2f}×",
        at_least=_FASTER if has_cores else None,
    )
    report.add(
        "CPU per answer, two to one",
        [two.cpu_ms / one.cpu_ms for one, two in rounds],
        "{:.2f}×",
        # Twice the processors would then do _FASTER times the work.
        at_most=None if has_cores else 2 / _FASTER,
    )
    report.add("failed", [sum(one.failed + two.failed for one, two in rounds)], "{:.0f}", at_most=0)
    console.print(report.table)
    return report.missed


def measure(product: Product, web_processes: int, chats: int) -> Throughput:
    """Start so many web processes, and have them answer so many chats."""
    with product.serve(web_processes) as serving:
        ask(serving, product, _WARM_UP * web_processes)
        stored = product.stored_answers()
        cpu, started = cpu_seconds(serving.process_ids), time.monotonic()
        answers = ask(serving, product, chats, spread=0)
        took = time.monotonic() - started
        cpu = cpu_seconds(serving.process_ids) - cpu
        done = sum(answer["status"] == "done" for answer in answers)
        complete = min(done, product.stored_answers() - stored)
    return Throughput(complete / took, cpu / chats * 1000, chats - complete)
