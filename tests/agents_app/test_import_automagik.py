"""manage.py import_automagik: what arrives, what is refused, and what it costs."""

import json
import os
import random
import shutil
import subprocess
import sys
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app import automagik
from tests.agents_app.automagik import SAMPLE, read_table, write_export, write_table

pytestmark = pytest.mark.django_db

CHAT = "11111111-1111-4111-8111-111111111111"
ASKED = "22222222-2222-4222-8222-222222222222"
ANSWERED = "33333333-3333-4333-8333-333333333333"


@pytest.fixture(scope="session")
def server() -> str:
    return automagik.server_url()


@pytest.fixture(scope="module", params=["uuid", "integer"])
def live_sample(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    """A live Automagik database with the sample in it, with either kind of user ids."""
    with automagik.live_database(server, user_id=request.param) as url:
        yield url


@pytest.fixture
def live(server: str) -> Iterator[str]:
    """A live Automagik database without any rows."""
    with automagik.live_database(server, sample=False) as url:
        yield url


@pytest.fixture
def simple_agent() -> Agent:
    """The agent that the migrations make; another test may have emptied the tables."""
    return Agent.objects.get_or_create(name="simple", defaults={"description": "ours"})[0]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A copy of the sample export, to be broken."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "export"))


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """The smallest export: one user, one agent, one chat of two messages."""
    return write_export(
        tmp_path / "export",
        users=[{"id": "7", "email": "eva@example.org", "created_at": "2026-01-01 10:00:00+00"}],
        agents=[{"id": "1", "name": "guide", "type": "simple", "active": "t"}],
        sessions=[
            {
                "id": CHAT,
                "user_id": "7",
                "agent_id": "1",
                "name": "Trip",
                "platform": "web",
                "created_at": "2026-01-02 10:00:00+00",
                "updated_at": "2026-01-02 11:00:00+00",
            }
        ],
        messages=[
            {
                "id": ASKED,
                "session_id": CHAT,
                "user_id": "7",
                "agent_id": "1",
                "role": "user",
                "text_content": "Where to?\nAnd when?",
                "created_at": "2026-01-02 10:00:01+00",
            },
            {
                "id": ANSWERED,
                "session_id": CHAT,
                "user_id": "7",
                "agent_id": "1",
                "role": "assistant",
                "text_content": "Lisbon, in May.",
                "created_at": "2026-01-02 10:00:02+00",
            },
        ],
    )


def run(source: Path | str) -> str:
    out = StringIO()
    call_command("import_automagik", str(source), stdout=out)
    return out.getvalue()


def dump() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that an import writes to."""
    tables: list[type[Model]] = [User, Agent, Session, Message]
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values()) for model in tables
    }


def conversations() -> tuple[list[Any], list[Any]]:
    """Sessions and messages, with names in place of the keys that differ between imports."""
    names = ("user__email", "agent__name")
    left_out = {"user_id", "agent_id"}
    columns = [
        [f.attname for f in model._meta.concrete_fields if f.attname not in left_out]
        for model in (Session, Message)
    ]
    return (
        list(Session.objects.order_by("pk").values(*columns[0], *names)),
        list(Message.objects.order_by("pk").values(*columns[1], *names)),
    )


def change(folder: Path, table: str, column: str, value: str, *, row: int = 0) -> None:
    rows = read_table(folder, table)
    rows[row][column] = value
    write_table(folder, table, rows)


def assert_refused(source: Path | str, *parts: str) -> None:
    """The import fails with a one-line message that holds the parts, and nothing is stored."""
    before = dump()
    with pytest.raises(CommandError) as refused:
        run(source)
    text = str(refused.value)
    for part in parts:
        assert part in text
    assert "\n" not in text
    assert dump() == before


def count_queries(action: Callable[[], object]) -> int:
    count = 0

    def counting(execute: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        return execute(*arguments)

    with connection.execute_wrapper(counting):
        action()
    return count


# --- The sample ---------------------------------------------------------------------


def test_sample_arrives_with_its_clutter(simple_agent: Agent) -> None:
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


def test_every_session_is_as_in_the_file() -> None:
    run(SAMPLE)
    users = {
        row["id"]: row["email"] or row["phone_number"] or f"automagik-{row['id']}"
        for row in read_table(SAMPLE, "users")
    }
    agents = {row["id"]: row["name"] for row in read_table(SAMPLE, "agents")}
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
        assert (agent.name if agent else None) == agents.get(row["agent_id"])
    assert Session.objects.filter(metadata__isnull=True).count() == sum(
        not row["metadata"] for row in rows
    )


def test_every_message_is_as_in_the_file_and_at_its_place() -> None:
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


# --- A live database ----------------------------------------------------------------


def test_live_database_gives_the_same_as_its_export(live_sample: str) -> None:
    run(SAMPLE)
    exported = conversations()
    Session.objects.all().delete()
    User.objects.all().delete()

    out = run(live_sample)

    assert "538 sessions (538 new), 364 messages (364 new), 5 users (5 new)" in out
    assert conversations() == exported
    before = dump()
    run(live_sample)
    assert dump() == before


def test_whole_numbers_as_user_ids_name_users_without_email_or_phone(
    server: str, tmp_path: Path
) -> None:
    with automagik.live_database(server, user_id="integer") as url:
        run(url)
    assert set(User.objects.values_list("username", flat=True)) == {
        "automagik-1",
        "admin@example.org",
        "ana@example.org",
        "bruno@example.org",
        "+5511990000003",
    }


def test_live_database_is_read_in_one_read_only_snapshot(live: str) -> None:
    with psycopg.connect(live) as source:
        source.execute(f"INSERT INTO sessions (id) VALUES ('{CHAT}')")
        source.execute("ALTER TABLE messages RENAME TO stored_messages")
        source.execute(
            f"""
            CREATE VIEW messages AS
            SELECT gen_random_uuid() AS id, '{CHAT}'::uuid AS session_id, NULL AS user_id,
                NULL AS agent_id, 'user' AS role, current_setting(setting) AS text_content,
                NULL AS message_type, NULL AS raw_payload, NULL AS tool_calls,
                NULL AS tool_outputs, NULL AS context, NULL AS created_at, NULL AS updated_at
            FROM unnest(ARRAY['transaction_read_only', 'transaction_isolation']) AS setting
            """
        )

    run(live)

    assert set(Message.objects.values_list("text_content", flat=True)) == {"on", "repeatable read"}


def test_live_database_times_without_zone_are_utc_whatever_the_server_thinks(live: str) -> None:
    with psycopg.connect(live) as source:
        source.execute("ALTER TABLE sessions ALTER updated_at TYPE timestamp")
        source.execute(
            f"INSERT INTO sessions (id, created_at, updated_at) VALUES ('{CHAT}', "
            "'2026-01-02 10:00+02', '2026-01-02 10:00')"
        )
        name = source.info.dbname
        source.execute(f"ALTER DATABASE {name} SET timezone = 'America/Sao_Paulo'")
        source.execute(f"ALTER DATABASE {name} SET datestyle = 'German'")

    run(live)

    chat_session = Session.objects.get()
    assert chat_session.created_at == datetime(2026, 1, 2, 8, tzinfo=UTC)
    assert chat_session.updated_at == datetime(2026, 1, 2, 10, tzinfo=UTC)


def test_live_messages_of_the_same_moment_are_in_order_of_their_ids(live: str) -> None:
    ids = sorted(uuid.uuid4() for _ in range(8))
    with psycopg.connect(live) as source:
        source.execute(f"INSERT INTO sessions (id) VALUES ('{CHAT}')")
        for message_id in random.sample(ids, len(ids)):
            source.execute(
                "INSERT INTO messages (id, session_id, role) VALUES (%s, %s, 'user')",
                [message_id, CHAT],
            )

    run(live)

    assert list(Message.objects.transcript().values_list("pk", flat=True)) == ids


def test_broken_row_of_a_live_database_is_named_by_table_and_id(live: str) -> None:
    with psycopg.connect(live) as source:
        source.execute(f"INSERT INTO sessions (id) VALUES ('{CHAT}')")
        source.execute(
            f"INSERT INTO messages (id, session_id, role) VALUES ('{ASKED}', '{CHAT}', 'robot')"
        )

    assert_refused(live, f"messages id {ASKED}, column role", "'robot'", "Nothing was imported")


def test_live_database_may_lack_what_versions_differ_in(live: str) -> None:
    with psycopg.connect(live) as source:
        source.execute("ALTER TABLE agents DROP system_prompt")
        source.execute("ALTER TABLE sessions DROP run_finished_at, ADD is_main_branch boolean")
        source.execute(
            "ALTER TABLE messages DROP channel_payload, ADD usage jsonb, ADD tokens integer"
        )
        source.execute("INSERT INTO agents (name, type) VALUES ('guide', 'simple')")
        source.execute(f"INSERT INTO sessions (id) VALUES ('{CHAT}')")
        source.execute(
            "INSERT INTO messages (session_id, role, usage, tokens, flagged) "
            f"VALUES ('{CHAT}', 'user', '{{\"total\": 3}}', 12, 't')"
        )

    run(live)

    assert Agent.objects.get(name="guide").system_prompt == ""
    assert Message.objects.get().extra == {"usage": {"total": 3}, "tokens": "12", "flagged": "t"}


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DROP TABLE messages", 'The table messages cannot be read: relation "public.messages"'),
        ("ALTER TABLE sessions DROP platform", "The table sessions lacks the column platform."),
    ],
)
def test_live_database_without_a_table_or_column_is_refused(
    live: str, damage: str, problem: str
) -> None:
    with psycopg.connect(live) as source:
        source.execute(damage.encode())

    assert_refused(live, problem)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://chat:s3cret-word@127.0.0.1:1/automagik",
        "postgresql://chat:s3cret-word@no-such-host.invalid/automagik",
        "postgresql://chat:pass@s3cret-word@127.0.0.1:1/automagik",
        "postgresql://chat:s3cret-word/1@127.0.0.1:1/automagik",
        "postgresql://chat:s3cret-word#1@127.0.0.1:1/automagik",
        "postgresql://chat:s3cret-word",
        "postgresql://chat:s3cret-word@[::1/automagik",
        "mysql://chat:s3cret-word@127.0.0.1/automagik",
    ],
)
def test_unreachable_database_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(url)

    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


# --- Users --------------------------------------------------------------------------


def import_users(folder: Path, *users: dict[str, Any]) -> None:
    """Import users, each with a session that bears the user's number as its name."""
    sessions = [
        {"id": str(uuid.uuid4()), "user_id": user["id"], "name": user["id"]} for user in users
    ]
    run(write_export(folder, users=list(users), sessions=sessions))


def owner(number: str) -> User:
    user = Session.objects.get(name=number).user
    assert user is not None
    return user


def test_user_is_matched_by_email_and_left_as_it_is(tmp_path: Path) -> None:
    User.objects.create_user("bruno", "Bruno@Example.org", "chosen", is_staff=True)
    before = User.objects.values().get()

    import_users(tmp_path, {"id": "1", "email": " bruno@example.ORG "})

    assert owner("1").username == "bruno"
    assert User.objects.values().get() == before


def test_new_user_has_no_usable_password_and_keeps_its_date(tmp_path: Path) -> None:
    import_users(
        tmp_path, {"id": "1", "email": "eva@example.org", "created_at": "2026-03-01 12:00:00+00"}
    )

    user = owner("1")
    assert (user.username, user.email) == ("eva@example.org", "eva@example.org")
    assert not user.has_usable_password()
    assert not user.is_staff
    assert not user.is_superuser
    assert user.date_joined == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"email": "eva@example.org", "phone_number": "+351900"}, "eva@example.org"),
        ({"phone_number": "+351900"}, "+351900"),
        ({"phone_number": "(21) 900"}, "automagik-5"),
        ({"email": "eva example.org"}, "automagik-5"),
        ({"email": f"{'e' * 140}@example.org"}, "automagik-5"),
        ({"phone_number": "9" * 151}, "automagik-5"),
        ({"email": "taken@example.org"}, "automagik-5"),
        ({}, "automagik-5"),
    ],
)
def test_user_name(tmp_path: Path, user: dict[str, str], name: str) -> None:
    User.objects.create_user("taken@example.org", "somebody.else@example.org")

    import_users(tmp_path, {"id": "5", **user})

    assert owner("5").username == name
    assert owner("5").email == user.get("email", "")
    before = dump()
    run(tmp_path)
    assert dump() == before


def test_two_users_with_one_email_are_one_person(tmp_path: Path) -> None:
    import_users(
        tmp_path,
        {"id": "1", "email": "eva@example.org"},
        {"id": "2", "email": "EVA@example.org"},
    )

    assert owner("1") == owner("2")
    assert User.objects.count() == 1


def test_of_two_known_users_with_one_email_the_older_one_counts(tmp_path: Path) -> None:
    for name in ("older", "newer"):
        User.objects.create_user(name, "eva@example.org")

    import_users(tmp_path, {"id": "1", "email": "eva@example.org"})

    assert owner("1").username == "older"


def test_too_long_an_email_is_refused(chat: Path) -> None:
    change(chat, "users", "email", f"{'e' * 250}@example.org")

    assert_refused(chat, "users.csv line 2, column email", "longer than 254 characters")


# --- Agents, sessions, messages -----------------------------------------------------


def test_agent_that_exists_is_left_as_it_is(chat: Path) -> None:
    Agent.objects.create(name="guide", model="test", description="ours", active=False)
    change(chat, "agents", "description", "theirs")
    before = Agent.objects.values().get(name="guide")

    run(chat)

    assert Agent.objects.values().get(name="guide") == before
    agent = Session.objects.get().agent
    assert agent is not None
    assert agent.name == "guide"


def test_new_agent_keeps_what_it_was(tmp_path: Path) -> None:
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


def test_session_that_exists_is_left_as_it_is(chat: Path) -> None:
    Session.objects.create(id=CHAT, name="Renamed here", platform="web")
    before = Session.objects.values().get()

    run(chat)

    assert Session.objects.values().get() == before
    assert Message.objects.count() == 2


def test_new_messages_of_a_known_session_come_after_the_known_ones(chat: Path) -> None:
    rows = read_table(chat, "messages")
    write_table(chat, "messages", rows[:1])
    run(chat)
    write_table(chat, "messages", rows)

    out = run(chat)

    assert "2 messages (1 new)" in out
    assert [str(pk) for pk in Message.objects.transcript().values_list("pk", flat=True)] == [
        ASKED,
        ANSWERED,
    ]


def test_order_of_the_file_does_not_matter_but_for_the_same_moment(chat: Path) -> None:
    rows = read_table(chat, "messages")
    same_moment = {**rows[0], "id": str(uuid.UUID(int=1)), "text_content": "later in the file"}
    no_time = {**rows[0], "id": str(uuid.uuid4()), "created_at": "", "text_content": "no time"}
    write_table(chat, "messages", [no_time, *reversed(rows), same_moment])

    run(chat)

    assert list(Message.objects.transcript().values_list("position", "text_content")) == [
        (1, "Where to?\nAnd when?"),
        (2, "later in the file"),
        (3, "Lisbon, in May."),
        (4, "no time"),
    ]


def test_columns_without_a_place_of_their_own_are_kept_as_extra(chat: Path) -> None:
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


def test_summary_of_an_import_without_clutter(chat: Path, simple_agent: Agent) -> None:
    assert run(chat) == (
        "1 session (1 new), 2 messages (2 new), 1 user (1 new), 1 agent (1 new).\n"
        "0 sessions can be removed.\n"
    )


def test_import_does_not_count_as_activity(chat: Path) -> None:
    run(chat)

    assert Session.objects.get().updated_at == datetime(2026, 1, 2, 11, tzinfo=UTC)


@pytest.mark.parametrize("text", ["x" * 1_200_000, "Ünïcödé 🙂", 'a "quoted", comma\r\nCRLF\rCR'])
def test_texts_arrive_unchanged(chat: Path, text: str) -> None:
    change(chat, "messages", "text_content", text)

    run(chat)

    assert Message.objects.get(pk=ASKED).text_content == text


def test_byte_order_mark_and_windows_line_ends_are_accepted(chat: Path) -> None:
    file = chat / "users.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))

    run(chat)

    assert User.objects.get().email == "eva@example.org"


# --- What is refused ----------------------------------------------------------------

NOBODY = "99999999-9999-4999-8999-999999999999"


@pytest.mark.parametrize(
    ("table", "column", "value", "problem"),
    [
        ("users", "id", "", "is empty."),
        ("users", "id", "seven", "'seven' is neither a whole number nor a UUID."),
        ("users", "created_at", "yesterday", "'yesterday' is not a date and time."),
        ("agents", "name", "", "is empty."),
        ("agents", "active", "maybe", "'maybe' is neither t nor f."),
        ("agents", "config", "{", "'{' is not JSON."),
        ("sessions", "id", "abc", "'abc' is not a UUID."),
        ("sessions", "id", "12", "'12' is not a UUID."),
        ("sessions", "user_id", "8", "there is no user 8."),
        ("sessions", "user_id", NOBODY, f"there is no user {NOBODY}."),
        ("sessions", "agent_id", "99", "there is no agent 99."),
        ("sessions", "metadata", "{'a': 1}", "\"{'a': 1}\" is not JSON."),
        ("sessions", "metadata", "[NaN]", "'[NaN]' holds a number that is not finite."),
        ("sessions", "metadata", "1e999", "'1e999' holds a number that is not finite."),
        ("sessions", "metadata", '{"\\u0000": 1}', "holds a NUL character."),
        ("sessions", "metadata", '["\\ud800"]', "holds half a character"),
        ("sessions", "metadata", "[" * 300 + "]" * 300, "is nested too deeply."),
        ("sessions", "metadata", "[" * 100_000, "is nested too deeply."),
        ("sessions", "created_at", "2026-02-30 10:00:00+00", "is not a date and time."),
        ("sessions", "updated_at", "infinity", "'infinity' is not a date and time."),
        ("sessions", "run_finished_at", "0001-01-01 00:00:00+14", "is not a date and time."),
        ("messages", "id", "nonsense", "'nonsense' is not a UUID."),
        ("messages", "session_id", "", "'' is not a UUID."),
        ("messages", "session_id", NOBODY, f"there is no session {NOBODY}."),
        ("messages", "user_id", "8", "there is no user 8."),
        ("messages", "agent_id", "2", "there is no agent 2."),
        ("messages", "role", "robot", "'robot' is none of system, user, assistant, tool."),
        ("messages", "role", "", "'' is none of system, user, assistant, tool."),
        ("messages", "tool_calls", "{]", "'{]' is not JSON."),
        ("messages", "raw_payload", "x" * 900, f"'{'x' * 59}…' is not JSON."),
        ("messages", "created_at", "12:00", "'12:00' is not a date and time."),
        ("messages", "usage", "[1", "'[1' is not JSON."),
    ],
)
def test_broken_row_is_named_and_nothing_is_imported(
    chat: Path, table: str, column: str, value: str, problem: str
) -> None:
    change(chat, table, column, value)

    assert_refused(chat, f"{table}.csv line 2, column {column}: ", problem, "Nothing was imported")


def test_line_is_the_one_in_which_the_row_begins(chat: Path) -> None:
    change(chat, "messages", "role", "robot", row=1)

    assert_refused(chat, "messages.csv line 4, column role")  # the first text has two lines


def test_broken_row_in_a_later_batch_undoes_the_earlier_ones(sample: Path) -> None:
    change(sample, "messages", "session_id", NOBODY, row=-1)

    assert_refused(sample, "column session_id", NOBODY)


def test_broken_row_is_refused_even_when_its_id_is_known(chat: Path) -> None:
    run(chat)
    change(chat, "messages", "context", "{")

    assert_refused(chat, "messages.csv line 2, column context")


@pytest.mark.parametrize("table", automagik.TABLES)
def test_id_that_appears_twice_is_refused(sample: Path, table: str) -> None:
    rows = read_table(sample, table)
    rows[-1]["id"] = rows[0]["id"].upper()
    write_table(sample, table, rows)

    assert_refused(sample, f"{table}.csv line ", "column id", "stands in line 2 already.")


@pytest.mark.parametrize("table", automagik.TABLES)
def test_file_that_is_missing_is_refused(chat: Path, table: str) -> None:
    (chat / f"{table}.csv").unlink()

    assert_refused(chat, f"lacks {table}.csv.")


@pytest.mark.parametrize(
    ("table", "column"),
    [("users", "email"), ("agents", "name"), ("sessions", "platform"), ("messages", "role")],
)
def test_column_that_is_missing_is_refused(chat: Path, table: str, column: str) -> None:
    file = chat / f"{table}.csv"
    file.write_text(file.read_text().replace(column, "renamed", 1))

    assert_refused(chat, f"{table}.csv lacks the column {column}.")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "sessions.csv lacks the columns id, user_id"),
        (b"%(header)s\n" + CHAT.encode() + b"\n", "sessions.csv line 2 has 1 fields"),
        (b"%(header)s\n%(row)s,more\n", "sessions.csv line 2 has 10 fields, and the header has 9"),
        (b"%(header)s,id\n", "sessions.csv has two columns of the same name."),
        (b'%(header)s\n%(row)s\n"open\n\n', "sessions.csv line 3 is not CSV"),
        (b'%(header)s\n"a"b,\n', "sessions.csv line 2 is not CSV"),
        (b"%(header)s\n%(row)s\n\xe9t\xe9\n", "sessions.csv line 3 is not UTF-8 (byte 0xe9)."),
        (b"%(header)s\n%(row)s\x00\n", "sessions.csv line 2 holds a NUL character."),
    ],
)
def test_file_that_is_not_as_it_should_be_is_refused(
    chat: Path, content: bytes, problem: str
) -> None:
    file = chat / "sessions.csv"
    header, row = file.read_bytes().splitlines()
    file.write_bytes(content % {b"header": header, b"row": row} if b"%(" in content else content)

    assert_refused(chat, problem)


def test_file_that_cannot_be_read_is_refused(chat: Path) -> None:
    (chat / "agents.csv").unlink()
    (chat / "agents.csv").mkdir()

    assert_refused(chat, "agents.csv cannot be read: Is a directory.")


def test_wrong_path_is_one_line_on_stderr_and_exit_status_1(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "import_automagik", str(tmp_path / "nowhere")],
        cwd=SAMPLE.parent.parent,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"CommandError: There is no folder {tmp_path / 'nowhere'}. Nothing was imported.\n"
    )


# --- What it costs ------------------------------------------------------------------


def big_export(folder: Path, size: int) -> Path:
    """As many users, sessions and messages."""
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
