"""How much memory an export takes: as much for many sessions as for a few."""

import gc
import tracemalloc
import uuid
from typing import Any

import pytest
from django.test import Client

from sessions_app.admin import export_files
from sessions_app.models import Message, Session
from tests.sessions_app.admin.helpers import LIST, log_in, staff

pytestmark = pytest.mark.django_db

FEW = 400  # sessions, which are two batches


def store(count: int, *, with_messages: bool) -> None:
    """As many more sessions, each with what a batch reads of it."""
    sessions = [Session(name=f"Plans {number}", platform="web") for number in range(count)]
    Session.objects.bulk_create(sessions, batch_size=1_000)
    if with_messages:
        messages = [
            Message(session=row, position=1, role="user", text_content="Where is the harbour? " * 9)
            for row in sessions
        ]
        Message.objects.bulk_create(messages, batch_size=1_000)


def peak(client: Client, *, transcripts: bool) -> tuple[int, int]:
    """The most that an export of all sessions holds at a time, in bytes; how many lines it has."""
    data = {
        "csrfmiddlewaretoken": client.cookies["csrftoken"].value,
        "action": "export_sessions",
        "select_across": "1",
        "_selected_action": str(uuid.uuid4()),
        "export": "Export",
        "format": "jsonl",
        **({"transcripts": "on"} if transcripts else {}),
    }
    gc.collect()
    tracemalloc.start()
    try:
        response: Any = client.post(LIST, data)
        lines = sum(piece.count(b"\n") for piece in response.streaming_content)
        return tracemalloc.get_traced_memory()[1], lines
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("transcripts", [False, True], ids=["sessions", "transcripts"])
def test_an_export_holds_no_more_of_ten_times_as_many_sessions(
    transcripts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_files, "_SESSIONS_AT_ONCE", 200)
    clerk = log_in(staff("clerk", "view_session", "export_session", "read_transcripts"))
    clerk.get(LIST)
    store(FEW, with_messages=transcripts)
    peak(clerk, transcripts=transcripts)  # what is loaded once for the process
    of_few, lines = peak(clerk, transcripts=transcripts)
    assert lines == FEW
    store(9 * FEW, with_messages=transcripts)
    of_many, lines = peak(clerk, transcripts=transcripts)
    assert lines == 10 * FEW
    # Not quite the same, since what a batch leaves is collected now and then only.
    assert of_many < 2 * of_few, f"{of_few:,} bytes for {FEW:,}, {of_many:,} for {lines:,}"
