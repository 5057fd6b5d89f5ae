"""Imports from a live Automagik database."""

import random
import uuid
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError

from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.automagik import databases
from tests.agents_app.automagik.databases import SAMPLE
from tests.agents_app.automagik.helpers import ASKED, CHAT, assert_refused, conversations, dump, run

pytestmark = pytest.mark.django_db


def test_a_live_database_imports_like_its_export(live_sample: str) -> None:
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


def test_integer_ids_name_users_without_email_or_phone(server: str, tmp_path: Path) -> None:
    with databases.live_database(server, user_id="integer") as url:
        run(url)
    assert set(User.objects.values_list("username", flat=True)) == {
        "automagik-1",
        "admin@example.org",
        "ana@example.org",
        "bruno@example.org",
        "+5511990000003",
    }


def test_a_live_database_is_read_in_one_read_only_snapshot(live: str) -> None:
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


def test_times_without_zone_are_utc_whatever_the_servers_time_zone(live: str) -> None:
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


def test_messages_with_the_same_time_are_ordered_by_id(live: str) -> None:
    ids = sorted(uuid.uuid4() for _ in range(8))
    with psycopg.connect(live) as source:
        source.execute(f"INSERT INTO sessions (id) VALUES ('{CHAT}')")
        for message_id in random.sample(ids, len(ids)):
            source.execute(
                "INSERT INTO messages (id, session_id, role) VALUES (%s, %s, 'user')",
                [message_id, CHAT],
            )

    run(live)

    assert list(Message.objects.order_by("position").values_list("pk", flat=True)) == ids


def test_a_bad_row_of_a_live_database_is_located_by_table_and_id(live: str) -> None:
    with psycopg.connect(live) as source:
        source.execute(f"INSERT INTO sessions (id) VALUES ('{CHAT}')")
        source.execute(
            f"INSERT INTO messages (id, session_id, role) VALUES ('{ASKED}', '{CHAT}', 'robot')"
        )

    assert_refused(live, f"messages id {ASKED}, column role", "'robot'", "Nothing was imported")


# What a terminal would take for a new line, a cleared screen, and text from right to left.
TRICKS = "'a' || chr(13) || chr(10) || chr(27) || '[2J' || chr(155) || chr(8238)"
ESCAPED = r"a\r\n\x1b[2J\x9b\u202e"


@pytest.mark.parametrize("table", databases.TABLES)
def test_ids_in_errors_are_escaped(live: str, table: str) -> None:
    with psycopg.connect(live) as source:
        source.execute(f"ALTER TABLE {table} RENAME TO stored".encode())
        source.execute("ALTER TABLE stored RENAME id TO old_id")
        source.execute(
            f"CREATE VIEW {table} AS SELECT {TRICKS} AS id, s.* "
            "FROM (VALUES (1)) AS one LEFT JOIN stored AS s ON true".encode()
        )

    assert_refused(live, f"{table} id {ESCAPED}, column ")


def test_server_messages_in_errors_are_escaped(live: str) -> None:
    with psycopg.connect(live) as source:
        source.execute(
            f"""
            ALTER TABLE users RENAME TO stored;
            CREATE FUNCTION broken() RETURNS uuid LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION '%', {TRICKS}; END $$;
            CREATE VIEW users AS SELECT broken() AS id, email, phone_number, created_at
                FROM (VALUES (1)) AS one LEFT JOIN stored ON true;
            """.encode()
        )

    assert_refused(live, f"The table users cannot be read: {ESCAPED}")


def test_columns_that_versions_differ_in_may_be_missing(live: str) -> None:
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
def test_a_live_database_without_a_table_or_column_is_refused(
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
def test_an_unreachable_database_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(url)

    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)
