"""The agent of sessions that Automagik stored without one."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from agents_app.automagik.rows import BATCH_SIZE
from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.automagik.databases import write_export
from tests.agents_app.automagik.helpers import CHAT, dump, run
from tests.factories import make_session, say

pytestmark = pytest.mark.django_db

AGENTS = [{"id": "1", "name": "guide"}, {"id": "2", "name": "poet"}]


def import_chat(folder: Path, *named: str, agent_id: str = "") -> None:
    """Import a chat whose messages refer to these agents, in this order."""
    messages: list[dict[str, Any]] = [
        {
            "id": str(uuid.UUID(int=number)),
            "session_id": CHAT,
            "role": "user",
            "agent_id": agent,
            "created_at": f"2026-01-02 10:{number // 60:02}:{number % 60:02}+00",
        }
        for number, agent in enumerate(named, start=1)
    ]
    # The order of the file is not the order in which they were said.
    sessions = [{"id": CHAT, "agent_id": agent_id, "updated_at": "2026-01-02 11:00:00+00"}]
    run(write_export(folder, agents=AGENTS, sessions=sessions, messages=messages[::-1]))


def agent_of_chat() -> str | None:
    agent = Session.objects.get(pk=CHAT).agent
    return agent.name if agent else None


@pytest.mark.parametrize(
    ("named", "agent"),
    [
        (["1"], "guide"),
        (["1", "2"], "poet"),
        (["2", "1", ""], "guide"),
        (["", ""], None),
        ([], None),
        (["1", *[""] * BATCH_SIZE, "2", ""], "poet"),
        (["1", "2", *[""] * BATCH_SIZE], "poet"),
        ([*[""] * BATCH_SIZE, "1"], "guide"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_session_without_an_agent_gets_the_last_of_its_messages(
    tmp_path: Path, named: list[str], agent: str | None
) -> None:
    import_chat(tmp_path, *named)

    assert agent_of_chat() == agent
    assert Session.objects.get().updated_at.isoformat() == "2026-01-02T11:00:00+00:00"
    before = dump()
    import_chat(tmp_path, *named)
    assert dump() == before


def test_a_session_with_an_agent_keeps_it(tmp_path: Path) -> None:
    import_chat(tmp_path, "2", agent_id="1")

    assert agent_of_chat() == "guide"


def test_an_agent_chosen_here_stays(tmp_path: Path) -> None:
    import_chat(tmp_path)
    Session.objects.update(agent=Agent.objects.get(name="guide"))
    import_chat(tmp_path, "2")
    assert agent_of_chat() == "guide"

    Session.objects.update(agent=None)
    import_chat(tmp_path, "2", "2")
    assert Message.objects.count() == 2
    assert agent_of_chat() is None, "it had messages before, and was left without"


def test_an_agent_removed_here_does_not_come_back(tmp_path: Path) -> None:
    import_chat(tmp_path, agent_id="1")
    Session.objects.update(agent=None)

    import_chat(tmp_path, "2", agent_id="1")

    assert agent_of_chat() is None


def test_an_existing_session_gets_it_with_its_first_messages(tmp_path: Path) -> None:
    import_chat(tmp_path)
    other = make_session(name="Another")
    say(other)

    import_chat(tmp_path, "2")

    assert agent_of_chat() == "poet"
    other.refresh_from_db()
    assert other.agent is None
