"""Fill `last_run_status` of the sessions that had runs before there was the column."""

from typing import Any

from django.db import migrations

_STATUS = "CASE WHEN status IN ('pending', 'running') THEN 'running' ELSE status END"

# One pass over the runs, instead of a look-up for each session.
_POSTGRESQL = f"""
    UPDATE sessions SET last_run_status = newest.status
    FROM (
        SELECT DISTINCT ON (session_id) session_id, {_STATUS} AS status
        FROM agent_runs ORDER BY session_id, created_at DESC, id DESC
    ) AS newest
    WHERE newest.session_id = sessions.id AND sessions.last_run_status <> newest.status
"""
_SQLITE = f"""
    UPDATE sessions SET last_run_status = (
        SELECT {_STATUS} FROM agent_runs WHERE session_id = sessions.id
        ORDER BY created_at DESC, id DESC LIMIT 1
    )
    WHERE id IN (SELECT session_id FROM agent_runs)
"""


def fill(apps: Any, schema_editor: Any) -> None:
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_POSTGRESQL if is_postgresql else _SQLITE)


class Migration(migrations.Migration):
    dependencies = [
        ("agents_app", "0009_api"),
        ("sessions_app", "0007_reviews"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
