"""The indexes of the admin's list of sessions, whose search sessions_app.name_search makes.

In PostgreSQL an index of the three-character parts of names finds what LIKE would read every
row for. The extension pg_trgm does the same, but not every server has it.
"""

from django.db import migrations, models
from django.db.models.functions import Left

POSTGRESQL = [
    # In upper case, as Django's `icontains` compares. Made of one pass over the text however
    # long it is. The cost is what a name of 40 characters takes: with the usual 100 the planner
    # prefers to compute this for many rows to using the index.
    """
    CREATE OR REPLACE FUNCTION name_trigrams(text) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 3000 AS $$
        SELECT array_agg(a || b || c)
        FROM (SELECT upper($1)) AS name (text), unnest(
            string_to_array(text, NULL),
            string_to_array(substr(text, 2), NULL),
            string_to_array(substr(text, 3), NULL)
        ) AS trigram (a, b, c)
        WHERE c IS NOT NULL
    $$
    """,
    "CREATE INDEX sessions_name_trigrams ON sessions USING gin (name_trigrams(name))",
    # How common a part of a name is: many of them are found sooner without the index.
    "CREATE STATISTICS sessions_upper_names ON (upper(name::text)) FROM sessions",
]
POSTGRESQL_UNDO = [
    "DROP STATISTICS IF EXISTS sessions_upper_names",
    "DROP INDEX IF EXISTS sessions_name_trigrams",
    "DROP FUNCTION IF EXISTS name_trigrams(text)",
]


def create(apps, schema_editor):
    execute(schema_editor, POSTGRESQL)


def drop(apps, schema_editor):
    execute(schema_editor, POSTGRESQL_UNDO)


def execute(schema_editor, statements):
    if schema_editor.connection.vendor == "postgresql":
        for statement in statements:
            schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0009_last_outcome")]

    operations = [
        migrations.AddIndex(
            model_name="session",
            index=models.Index(Left("name", 200), "id", name="sessions_by_name"),
        ),
        migrations.AddIndex(
            model_name="session",
            index=models.Index(fields=["updated_at", "id"], name="sessions_by_activity"),
        ),
        migrations.RunPython(create, drop),
    ]
