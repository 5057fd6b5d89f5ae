"""What a streamed answer costs, compared with the minimum that streams the same one.

Chats start spread over two seconds, and a model in another process answers each with 60 tokens at
33 per second. The product and the floor (tests.bench.floor_app) are served in turn, each by one
web process that is started for the measurement.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import watching
from tests.bench.bounds import Report
from tests.bench.data import Databases
from tests.bench.processes import announced, cpu_seconds, read_streams
from tests.bench.targets import Floor, Product, Serving, Target

_CPU_BOUNDS = {20: 1.5, 100: 1.5, 400: 1.6}  # by chats at once
_BYTES_BOUND = 3
_TRANSACTIONS_BOUND = 8

_SPREAD = 2.0  # seconds
_WARM_UP = 10  # chats
# What a server does after the last answer is part of its cost.
_SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Cost:
    """What a number of chats cost.

    `cpu_ms` (milliseconds), `bytes` and `transactions` are per answer, `failed` is the number
    of answers that were not complete, and `first_ms` the median time to the first token.
    """

    cpu_ms: float
    bytes: float
    transactions: float
    failed: int
    first_ms: float


Rounds = list[tuple[Cost, Cost]]  # the floor's and the product's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chats", type=int, nargs="+", default=list(_CPU_BOUNDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--answers-in",
        choices=["web", "workers"],
        default="web",
        help="with workers, the cost is that of the web process and of one worker together",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="measure how soon a watcher in another process sees the first text instead",
    )


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the costs; returns which bounds were missed."""
    if options.watch:
        return watching.run(databases, console)
    costs: dict[int, Rounds] = {}
    with announced("tests.bench.paced_model") as model_url:
        floor = Floor(model_url)
        product = Product(
            databases,
            model_url,
            users=max(_WARM_UP, *options.chats),
            answers_in=options.answers_in,
        )
        overhead = overhead_transactions(product)
        for chats in options.chats:
            costs[chats] = []
            for number in range(1, options.rounds + 1):
                console.print(f"{chats} chats at once, round {number} of {options.rounds} …")
                pair = measure(floor, chats), measure(product, chats, overhead)
                costs[chats].append(pair)
    console.print(cost_table(costs, options.answers_in))
    report = bounds_report(costs)
    console.print(report.table)
    return report.missed


def overhead_transactions(target: Target) -> int:
    """The transactions of starting a server, warming it up and stopping it."""
    before = target.transactions()
    with target.serve() as serving:
        ask(serving, target, _WARM_UP)
        target.stored_answers()
    return target.transactions() - before


def measure(target: Target, chats: int, overhead: int = 0) -> Cost:
    """Start a server, and have it answer so many chats at once."""
    transactions = target.transactions() + overhead
    with target.serve() as serving:
        ask(serving, target, _WARM_UP)
        stored = target.stored_answers()
        cpu = cpu_seconds(serving.process_ids)
        answers = ask(serving, target, chats)
        time.sleep(_SETTLE_SECONDS)
        cpu = cpu_seconds(serving.process_ids) - cpu
    transactions = target.transactions() - transactions
    statuses = Counter(answer["status"] for answer in answers)
    complete = statuses["done"]
    if stored is not None:
        complete = min(complete, (target.stored_answers() or 0) - stored)
    if complete < chats:
        sys.stderr.write(f"{chats - complete} answers failed: {dict(statuses)}\n")
    return Cost(
        cpu_ms=cpu / chats * 1000,
        bytes=sum(answer["bytes"] for answer in answers) / chats,
        transactions=transactions / chats,
        failed=chats - complete,
        first_ms=median(answer["first"] or float("inf") for answer in answers) * 1000,
    )


def ask(
    serving: Serving, target: Target, chats: int, *, spread: float = _SPREAD
) -> list[dict[str, Any]]:
    """Start so many chats, in turn in each of the web processes, and read their answers.

    tests.bench.stream_clients describes them.
    """
    requests = [
        {
            "port": serving.ports[number % len(serving.ports)],
            "request": target.request(number),
            "first_text": target.first_text,
        }
        for number in range(chats)
    ]
    return read_streams(requests, spread=spread)


def cost_table(costs: dict[int, Rounds], answers_in: str) -> Table:
    title = f"Per answer of 60 tokens in {answers_in}, floor / product; medians of the rounds"
    table = Table(title=title)
    for heading in (
        "chats at once",
        "CPU, ms",
        "bytes, KB",
        "transactions",
        "failed",
        "first token, ms",
    ):
        table.add_column(heading)
    for chats, rounds in costs.items():
        floor, product = ([pair[side] for pair in rounds] for side in (0, 1))
        table.add_row(
            str(chats),
            f"{median(c.cpu_ms for c in floor):.0f} / {median(c.cpu_ms for c in product):.0f}",
            f"{median(c.bytes for c in floor) / 1000:.1f}"
            f" / {median(c.bytes for c in product) / 1000:.1f}",
            f"{median(c.transactions for c in product):.1f}",
            f"{sum(c.failed for c in floor)} / {sum(c.failed for c in product)}",
            f"{median(c.first_ms for c in floor):.0f} / {median(c.first_ms for c in product):.0f}",
        )
    return table


def bounds_report(costs: dict[int, Rounds]) -> Report:
    report = Report("Product relative to the floor")
    for chats, rounds in costs.items():
        report.add(
            f"CPU, {chats} chats",
            [product.cpu_ms / floor.cpu_ms for floor, product in rounds],
            "{:.2f}×",
            at_most=_CPU_BOUNDS.get(chats),
        )
        report.add(
            f"bytes, {chats} chats",
            [product.bytes / floor.bytes for floor, product in rounds],
            "{:.1f}×",
            at_most=_BYTES_BOUND,
        )
        report.add(
            f"transactions, {chats} chats",
            [product.transactions for _, product in rounds],
            "{:.1f}",
            at_most=_TRANSACTIONS_BOUND,
        )
        report.add(
            f"failed, {chats} chats",
            [sum(floor.failed + product.failed for floor, product in rounds)],
            "{:.0f}",
            at_most=0,
        )
    return report
