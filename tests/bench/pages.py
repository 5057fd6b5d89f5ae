"""What the pages cost as chats grow, and how large a chat's page is.

On PostgreSQL, through the web server. Each ratio is that of two pages requested in turn: a chat
with many messages and one with few, and the first screen and searches of a user with many chats
and one with few.
"""

import argparse
import gzip
import json
import random
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import accumulate
from pathlib import PurePosixPath
from statistics import median
from typing import Any
from urllib.parse import urljoin, urlsplit

import psycopg
from rich.console import Console

from tests.bench.bounds import Report
from tests.bench.data import ROOT, Databases, environment
from tests.serving import serve

_MESSAGES_PER_CHAT = 10
_FEW, _MANY = 100, 10_000  # chats of a user, and messages of a chat
_GROWTH = 1.5
_SEARCH_GROWTH = 3
_WEIGHT = 60  # KB
_REQUESTS = 20
_WARM_UP = 3

# One in two messages has the first word, one in a thousand the second.
_COMMON, _RARE = "common", "rare"
_VOCABULARY = 20_000  # words, each used less often than the one before

_LINKS = re.compile(r'<(?:link rel="stylesheet"|script type="module")[^>]* (?:href|src)="([^"]+)"')
# Without those that are loaded on demand.
_IMPORTS = re.compile(r"""(?:\bfrom|\bimport|@import)\s*(?:url\()?["']([^"']+)["']""")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the figures; returns which bounds were missed."""
    console.print(f"Loading {_MANY:,} chats, and a chat of {_MANY:,} messages …")
    url = databases.empty()
    few, many = _fill(url)
    report = Report("Pages as chats grow, and what a chat's page weighs")
    with serve(url, **{**environment(url), "DEBUG": "on", "HTTPS": "off"}) as server:
        few_chats, many_chats = (_Visitor(server.address, cookie) for cookie in (few, many))
        short, long = few_chats.chat("Short"), many_chats.chat("Long")
        for name, path, bound in (
            ("chat, by messages", (short, long), _GROWTH),
            ("first screen, by chats", ("/chats/", "/chats/"), _GROWTH),
            ("search, a rare word", (f"/chats/?q={_RARE}",) * 2, _SEARCH_GROWTH),
            ("search, a common word", (f"/chats/?q={_COMMON}",) * 2, _SEARCH_GROWTH),
            ("search, no such word", ("/chats/?q=nowhere",) * 2, _SEARCH_GROWTH),
        ):
            rounds = [
                _medians((few_chats, path[0]), (many_chats, path[1])) for _ in range(options.rounds)
            ]
            for count, side in ((_FEW, 0), (_MANY, 1)):
                report.add(f"{name}: {count:,}", [r[side] * 1000 for r in rounds], "{:.1f} ms")
            ratios = [large / small for small, large in rounds]
            report.add(f"{name}: growth", ratios, "{:.2f}×", at_most=bound)
        weights = few_chats.weights(short)
    for name, kilobytes in weights.items():
        report.add(f"weight: {name}", [kilobytes], "{:.1f} KB")
    total = sum(weights.values())
    report.add("weight of a chat's page", [total], "{:.1f} KB", at_most=_WEIGHT)
    console.print(report.table)
    return report.missed


def _medians(*pages: tuple["_Visitor", str]) -> list[float]:
    """The median time of each page, requested in turn, in seconds."""
    times: list[list[float]] = [[] for _ in pages]
    for _ in range(_REQUESTS):
        for (visitor, path), own in zip(pages, times, strict=True):
            started = time.perf_counter()
            visitor.get(path)
            own.append(time.perf_counter() - started)
    return [median(own[_WARM_UP:]) for own in times]


class _Visitor:
    """A logged-in user."""

    def __init__(self, address: str, cookie: str) -> None:
        self._address = urlsplit(address).netloc
        self._cookie = f"sessionid={cookie}"

    def get(self, path: str) -> str:
        connection = HTTPConnection(self._address)
        connection.request("GET", path, headers={"Cookie": self._cookie, "Connection": "close"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            sys.exit(f"GET {path} answered {response.status}.")
        return body.decode()

    def chat(self, name: str) -> str:
        """The path of the chat with that name."""
        found = re.search(r'href="(/chats/[0-9a-f-]{36}/)"', self.get(f"/chats/?q={name}"))
        if found is None:
            sys.exit(f"There is no chat named {name}.")
        return found[1]

    def weights(self, path: str) -> dict[str, float]:
        """The page and the stylesheets and modules that it loads, compressed, in KB."""
        page = self.get(path)
        weights = {"page": _compressed(page)}
        found = [urljoin(path, link) for link in _LINKS.findall(page)]
        for file in found:  # grows with the files that a file imports
            text = self.get(file)
            weights[PurePosixPath(file).name] = _compressed(text)
            imported = (urljoin(file, name) for name in _IMPORTS.findall(text))
            found += [name for name in dict.fromkeys(imported) if name not in found]
        return weights


def _compressed(text: str) -> float:
    return len(gzip.compress(text.encode())) / 1000


def _fill(url: str) -> tuple[str, str]:
    """Create a user with few and one with many chats; returns their session cookies."""
    variables = environment(url)
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=variables,
        check=True,
    )
    made = subprocess.run(
        [sys.executable, "-m", "tests.bench.logins", "2"],
        cwd=ROOT,
        env=variables,
        check=True,
        stdout=subprocess.PIPE,
    )
    cookies = json.loads(made.stdout)["cookies"]
    with psycopg.connect(url, autocommit=True) as connection:
        users = connection.execute("SELECT id FROM auth_user ORDER BY username").fetchall()
        chats = [
            (uuid.uuid4(), user, f"Chat {number}", _MESSAGES_PER_CHAT)
            for (user,), count in zip(users, (_FEW, _MANY), strict=True)
            for number in range(count - 1)
        ]
        chats += [
            (uuid.uuid4(), user, name, count)
            for (user,), name, count in zip(users, ("Short", "Long"), (_FEW, _MANY), strict=True)
        ]
        # Faster to build once all messages are there.
        index = connection.execute("SELECT pg_get_indexdef('messages_words'::regclass)").fetchone()
        connection.execute("DROP INDEX messages_words")
        _copy(connection, chats)
        assert index
        connection.execute(index[0])
        connection.execute("VACUUM ANALYZE")
    few, many = cookies
    return few, many


def _copy(
    connection: psycopg.Connection[Any], chats: list[tuple[uuid.UUID, int, str, int]]
) -> None:
    """Store chats, each given as its id, user, name and number of messages."""
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY sessions (id, user_id, name, platform, created_at, updated_at) FROM STDIN"
        ) as rows,
    ):
        start = datetime(2026, 1, 1, tzinfo=UTC)
        for number, (chat, user, name, _) in enumerate(chats):
            moment = start + timedelta(minutes=number)
            rows.write_row((chat, user, name, "web", moment, moment))
    texts = _texts()
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY messages (id, session_id, position, role, text_content, message_type, "
            "created_at, updated_at) FROM STDIN"
        ) as rows,
    ):
        for chat, _, _, count in chats:
            for position in range(1, count + 1):
                role = "user" if position % 2 else "assistant"
                rows.write_row(
                    (uuid.uuid4(), chat, position, role, next(texts), "text", "now", "now")
                )


def _texts() -> Iterator[str]:
    """Texts of 80 words, distributed as unevenly as in natural language."""
    words = [f"word{number}" for number in range(_VOCABULARY)]
    weights = list(accumulate(1 / number for number in range(1, _VOCABULARY + 1)))
    chance = random.Random(0)
    while True:
        chosen = chance.choices(words, cum_weights=weights, k=80)
        draw = chance.random()
        chosen += [_COMMON] * (draw < 0.5) + [_RARE] * (draw < 0.001)
        yield " ".join(chosen)
