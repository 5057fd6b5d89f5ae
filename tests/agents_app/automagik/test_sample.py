"""The sample is imported completely, and once."""

import json
from datetime import datetime

import pytest

from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.automagik.databases import SAMPLE, read_table
from tests.agents_app.automagik.helpers import (
    dump,
    run,
)

pytestmark = pytest.mark.django_db


def test_the_sample_is_imported_with_its_removable_sessions(simple_agent: Agent) -> None:
    out = run(SAMPLE)

    assert Session.objects.count() == 538
    assert Session.objects.removable().count() == 420
    assert Message.objects.count() == 364
    assert out == (
        "538 sessions (538 new), 364 messages (364 new), 5 users (5 new), 3 agents (2 new).\n"
        "420 sessions can be removed; to see which: "
        "python manage.py cleanup_sessions --dry-run\n"
    )


def test_second_import_changes_nothing() -> None:
    run(SAMPLE)
    before = dump()

    out = run(SAMPLE)

    assert dump() == before
    assert "538 sessions (0 new), 364 messages (0 new), 5 users (0 new), 3 agents (0 new)" in out


def test_every_session_equals_its_row() -> None:
    run(SAMPLE)
    users = {
        row["id"]: row["email"] or row["phone_number"] or f"automagik-{row['id']}"
        for row in read_table(SAMPLE, "users")
    }
    agents = {row["id"]: row["name"] for row in read_table(SAMPLE, "agents")}
    messages = sorted(read_table(SAMPLE, "messages"), key=lambda row: row["created_at"])
    named_last = {row["session_id"]: row["agent_id"] for row in messages if row["agent_id"]}
    stored = {str(s.pk): s for s in Session.objects.select_related("user", "agent")}
    rows = read_table(SAMPLE, "sessions")

    assert len(stored) == len(rows)
    for row in rows:
        chat_session = stored[row["id"]]
        assert chat_session.name == row["name"]
        assert chat_session.platform == row["platform"]
        assert chat_session.metadata == (json.loads(row["metadata"]) if row["metadata"] else None)
        assert chat_session.created_at == datetime.fromisoformat(row["created_at"])
        assert chat_session.updated_at == datetime.fromisoformat(row["updated_at"])
        assert chat_session.run_finished_at is None
        user, agent = chat_session.user, chat_session.agent
        assert (user.username if user else None) == users.get(row["user_id"])
        agent_id = row["agent_id"] or named_last.get(row["id"], "")
        assert (agent.name if agent else None) == agents.get(agent_id)
    assert Session.objects.filter(metadata__isnull=True).count() == sum(
        not row["metadata"] for row in rows
    )


def test_every_message_equals_its_row_and_is_in_order() -> None:
    run(SAMPLE)
    stored = {str(m.pk): m for m in Message.objects.all()}
    rows = sorted(read_table(SAMPLE, "messages"), key=lambda row: row["created_at"])
    places: dict[str, int] = {}

    assert len(stored) == len(rows)
    for row in rows:
        message = stored[row["id"]]
        places[row["session_id"]] = places.get(row["session_id"], 0) + 1
        assert message.position == places[row["session_id"]]
        assert str(message.session_id) == row["session_id"]
        assert message.text_content == row["text_content"]
        assert (message.role, message.message_type) == (row["role"], row["message_type"])
        for column in ("tool_calls", "tool_outputs", "raw_payload", "context", "channel_payload"):
            value = getattr(message, column)
            assert value == (json.loads(row[column]) if row[column] else None), column
        assert message.extra is None
        assert message.created_at == datetime.fromisoformat(row["created_at"])
        assert message.updated_at == datetime.fromisoformat(row["updated_at"])
