"""How agents, sessions and messages are imported."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.automagik.databases import read_table, write_export, write_table
from tests.agents_app.automagik.helpers import (
    ANSWERED,
    ASKED,
    CHAT,
    change,
    run,
)

pytestmark = pytest.mark.django_db


def test_an_existing_agent_stays_unchanged(chat: Path) -> None:
    Agent.objects.create(name="guide", model="test", description="ours", active=False)
    change(chat, "agents", "description", "theirs")
    before = Agent.objects.values().get(name="guide")

    run(chat)

    assert Agent.objects.values().get(name="guide") == before
    agent = Session.objects.get().agent
    assert agent is not None
    assert agent.name == "guide"


def test_a_new_agent_keeps_its_values(tmp_path: Path) -> None:
    agent = {
        "name": "guide",
        "type": "travel",
        "model": "openai:gpt-4.1-mini",
        "description": "Knows places",
        "system_prompt": "Be brief.",
        "config": {"temperature": "0.7"},
        "active": False,
    }
    row = {**agent, "config": json.dumps(agent["config"]), "active": "f"}
    times = {"created_at": "2026-01-01 00:00:00+00", "updated_at": "2026-02-01 00:00:00+00"}
    run(write_export(tmp_path, agents=[{"id": "1", **row, **times}]))

    stored = Agent.objects.get(name="guide")
    assert {column: getattr(stored, column) for column in agent} == agent
    assert stored.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert stored.updated_at == datetime(2026, 2, 1, tzinfo=UTC)


def test_null_name_and_platform_are_empty_and_null_metadata_stays_null(tmp_path: Path) -> None:
    run(write_export(tmp_path, sessions=[{"id": CHAT}]))

    chat_session = Session.objects.get(metadata__isnull=True)
    assert (chat_session.name, chat_session.platform) == ("", "")
    assert chat_session.user is None
    assert chat_session.agent is None


def test_an_existing_session_stays_unchanged(chat: Path) -> None:
    Session.objects.create(id=CHAT, name="Renamed here", platform="web")
    before = Session.objects.values().get()

    run(chat)

    assert Session.objects.values().get() == before
    assert Message.objects.count() == 2


def test_new_messages_of_an_existing_session_come_last(chat: Path) -> None:
    rows = read_table(chat, "messages")
    write_table(chat, "messages", rows[:1])
    run(chat)
    write_table(chat, "messages", rows)

    out = run(chat)

    assert "2 messages (1 new)" in out
    assert [
        str(pk) for pk in Message.objects.order_by("position").values_list("pk", flat=True)
    ] == [
        ASKED,
        ANSWERED,
    ]


def test_messages_are_ordered_by_time_and_then_by_the_files_order(chat: Path) -> None:
    rows = read_table(chat, "messages")
    same_moment = {**rows[0], "id": str(uuid.UUID(int=1)), "text_content": "later in the file"}
    no_time = {**rows[0], "id": str(uuid.uuid4()), "created_at": "", "text_content": "no time"}
    write_table(chat, "messages", [no_time, *reversed(rows), same_moment])

    run(chat)

    assert list(Message.objects.order_by("position").values_list("position", "text_content")) == [
        (1, "Where to?\nAnd when?"),
        (2, "later in the file"),
        (3, "Lisbon, in May."),
        (4, "no time"),
    ]


def test_other_columns_are_kept_as_extra(chat: Path) -> None:
    rows = [
        {**row, "media_url": "/a.png", "flagged": "f", "usage": '{"total": 3}', "mood": "good"}
        for row in read_table(chat, "messages")
    ]
    write_table(chat, "messages", rows)

    run(chat)

    assert Message.objects.get(pk=ASKED).extra == {
        "media_url": "/a.png",
        "flagged": "f",
        "usage": {"total": 3},
        "mood": "good",
    }


def test_missing_times(tmp_path: Path) -> None:
    run(
        write_export(
            tmp_path,
            sessions=[
                {"id": CHAT, "created_at": "2026-01-02 10:00:00"},
                {"id": ASKED, "updated_at": "2026-01-03 10:00:00+01"},
                {"id": ANSWERED},
            ],
            messages=[{"id": CHAT, "session_id": CHAT, "role": "user"}],
        )
    )

    morning = datetime(2026, 1, 2, 10, tzinfo=UTC)
    times = {str(s.pk): (s.created_at, s.updated_at) for s in Session.objects.all()}
    assert times[CHAT] == (morning, morning)
    assert times[ASKED] == (datetime(2026, 1, 3, 9, tzinfo=UTC),) * 2
    assert timezone.now() - times[ANSWERED][0] < timedelta(minutes=1)
    message = Message.objects.get()
    assert (message.created_at, message.updated_at) == (morning, morning)


def test_summary_without_removable_sessions(chat: Path, simple_agent: Agent) -> None:
    assert run(chat) == (
        "1 session (1 new), 2 messages (2 new), 1 user (1 new), 1 agent (1 new).\n"
        "0 sessions can be removed.\n"
    )


def test_import_does_not_count_as_activity(chat: Path) -> None:
    run(chat)

    assert Session.objects.get().updated_at == datetime(2026, 1, 2, 11, tzinfo=UTC)


@pytest.mark.parametrize("text", ["x" * 1_200_000, "Ünïcödé 🙂", 'a "quoted", comma\r\nCRLF\rCR'])
def test_texts_are_stored_unchanged(chat: Path, text: str) -> None:
    change(chat, "messages", "text_content", text)

    run(chat)

    assert Message.objects.get(pk=ASKED).text_content == text


def test_byte_order_mark_and_windows_line_ends_are_accepted(chat: Path) -> None:
    file = chat / "users.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))

    run(chat)

    assert User.objects.get().email == "eva@example.org"
