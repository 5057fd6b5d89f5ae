"""Measures what the product costs, compared with the minimum that does the same.

    python -m tests.bench [PART [OPTIONS]]

Without a part, all of them but `growth`, which takes many minutes and gigabytes. PostgreSQL is
the server at TEST_DATABASE_URL, or one started for the purpose. Exits with 1 when a figure misses
its bound.
"""

import argparse
import os
import sys

from rich.console import Console

from tests import postgres
from tests.bench import admin, api, cleanup, first_token, growth, latency, pages, scaling, streams
from tests.bench.data import Databases

_PARTS = {
    "cleanup": (cleanup, "cleanups, compared with one raw DELETE"),
    "first-token": (first_token, "the time to the first token, compared with the model's own"),
    "streams": (streams, "streamed answers, compared with the bare model library"),
    "scaling": (scaling, "answers per second of two web processes, compared with one"),
    "latency": (latency, "how long storing a message takes during a cleanup"),
    "pages": (pages, "pages and searches as chats grow, and the weight of a page"),
    "api": (api, "the API's lists, compared with Automagik's query, and its streams"),
    "admin": (admin, "the admin's pages with a million sessions; takes minutes to load them"),
    "growth": (growth, "cleanups of 2,000,000 sessions; needs minutes and several gigabytes"),
}
_DEFAULT = (
    ["cleanup"],
    ["first-token"],
    ["first-token", "--answers-in", "workers"],
    ["streams"],
    ["streams", "--answers-in", "workers"],
    ["streams", "--watch"],
    ["scaling"],
    ["latency"],
    ["pages"],
    ["api"],
    ["admin"],
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(dest="part", metavar="PART")
    for name, (module, text) in _PARTS.items():
        module.add_arguments(parts.add_parser(name, help=text, description=text))
    options = parser.parse_args()
    chosen = [options] if options.part else [parser.parse_args(part) for part in _DEFAULT]
    databases = Databases(os.environ.get("TEST_DATABASE_URL") or postgres.start())
    console = Console(highlight=False)
    missed = []
    for part in chosen:
        module, _ = _PARTS[part.part]
        missed += module.run(part, databases, console)
    if missed:
        sys.exit("Missed bounds:\n" + "\n".join(missed))


if __name__ == "__main__":
    main()
