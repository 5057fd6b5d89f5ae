"""Queries and memory of an import."""

import tracemalloc
import uuid
from pathlib import Path

import psycopg
import pytest

from sessions_app.models import Message
from tests.agents_app.automagik.databases import write_export
from tests.agents_app.automagik.helpers import CHAT, count_queries, run

pytestmark = pytest.mark.django_db


def big_export(folder: Path, size: int) -> Path:
    """An export with `size` users, sessions and messages."""
    users = [{"id": str(n), "email": f"u{n}@example.org"} for n in range(size)]
    chats = [{"id": str(uuid.uuid4()), "user_id": str(n)} for n in range(size)]
    said = [
        {"id": str(uuid.uuid4()), "session_id": chat_session["id"], "role": "user"}
        for chat_session in chats
    ]
    return write_export(folder, users=users, sessions=chats, messages=said)


def test_queries_do_not_grow_with_each_row(tmp_path: Path) -> None:
    small = count_queries(lambda: run(big_export(tmp_path / "small", 500)))
    big = count_queries(lambda: run(big_export(tmp_path / "big", 1500)))

    # A thousand more of each of the three kinds of rows; SQLite takes 999 values at a time.
    assert big - small <= 100
    assert Message.objects.count() == 2000


def test_memory_does_not_grow_with_a_live_database(live: str) -> None:
    def peak_of_importing(messages: int) -> int:
        with psycopg.connect(live) as source:
            source.execute(
                "INSERT INTO messages (session_id, role, text_content) "
                "SELECT %s, 'user', repeat('word ', 800) FROM generate_series(1, %s)",
                [CHAT, messages],
            )
        tracemalloc.start()
        try:
            run(live)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with psycopg.connect(live) as source:
        source.execute(f"INSERT INTO sessions (id) VALUES ('{CHAT}')")
    run(live)  # whatever is loaded only once
    few = peak_of_importing(1000)
    many = peak_of_importing(3000)

    assert Message.objects.count() == 4000
    assert many < few * 1.3
