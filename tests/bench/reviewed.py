"""The database for measuring the admin: sessions like those after years of use."""

import subprocess
import sys

import psycopg

from tests.bench.data import ROOT, Databases, environment

_USERS = 200

# Of ten sessions, four are removable, and six are users' chats, 19 messages between them.
_STATEMENTS = (
    """
    INSERT INTO auth_user (username, email, password, first_name, last_name, is_superuser,
                           is_staff, is_active, date_joined)
    SELECT 'user-' || n, 'user-' || n || '@example.org', '!', '', '', n = 0, n = 0, true, now()
    FROM generate_series(0, %(users)s) AS n
    """,
    """
    INSERT INTO sessions (id, user_id, agent_id, name, platform, created_at, updated_at)
    SELECT named.id, owner.id, agent, name, platform,
           now() - n * interval '10 s', now() - n * interval '9 s'
    FROM (
        SELECT n, id,
               CASE WHEN n %% 10 < 4 THEN 'Session-' || id
                    ELSE 'Chat about topic ' || n END AS name,
               CASE WHEN n %% 10 < 4 THEN 'automagik' ELSE 'web' END AS platform,
               CASE WHEN n %% 10 < 4 THEN NULL ELSE 'user-' || (1 + n %% %(users)s) END AS username,
               CASE WHEN n %% 10 < 4 THEN NULL ELSE (SELECT min(id) FROM agents) END AS agent
        FROM (SELECT n, gen_random_uuid() AS id FROM generate_series(1, %(sessions)s) AS n) AS made
    ) AS named LEFT JOIN auth_user AS owner ON owner.username = named.username
    """,
    """
    INSERT INTO messages (id, session_id, position, role, text_content, message_type,
                          created_at, updated_at)
    SELECT gen_random_uuid(), s.id, position,
           CASE WHEN position %% 2 = 1 THEN 'user' ELSE 'assistant' END,
           'A text about topic ' || position || ' of ' || s.name, 'text', s.created_at, s.created_at
    FROM sessions AS s,
         generate_series(1, CASE WHEN right(s.name, 1) = '9' THEN 4 ELSE 3 END) AS position
    WHERE s.platform = 'web'
    """,
)
# One long transcript, and one text in a thousand with a word of its own.
_LONG = """
    INSERT INTO messages (id, session_id, position, role, text_content, message_type,
                          created_at, updated_at)
    SELECT gen_random_uuid(), s.id, position,
           CASE WHEN position % 2 = 1 THEN 'user' ELSE 'assistant' END,
           'Entry ' || position, 'text', s.created_at, s.created_at
    FROM sessions AS s, generate_series(10, 10000) AS position WHERE s.name = 'Chat about topic 9'
"""
_RARE = """
    UPDATE messages SET text_content = text_content || ' zebra'
    WHERE position = 1 AND session_id IN (SELECT id FROM sessions WHERE name LIKE '%999')
"""
LONGEST = "Chat about topic 9"
WORD = "zebra"
_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid IN ('sessions'::regclass, 'messages'::regclass) AND NOT indisunique
"""


def fill(databases: Databases, sessions: int) -> str:
    """Create a database with so many sessions; returns its URL. The superuser is `user-0`."""
    url = databases.empty(f"bench_admin_{sessions}")
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment(url),
        check=True,
    )
    with psycopg.connect(url, autocommit=True) as connection:
        # Foreign keys are not checked, and indexes are built once all rows are there.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '1GB'")
        indexes = connection.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        for statement in _STATEMENTS:
            connection.execute(statement, {"users": _USERS, "sessions": sessions})
        connection.execute(_LONG)
        connection.execute(_RARE)
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE")
    return url
