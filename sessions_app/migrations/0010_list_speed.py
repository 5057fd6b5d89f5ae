"""The indexes of the admin's list of sessions, whose search sessions_app.search.sessions makes.

In PostgreSQL an index of the three-character parts of names finds what LIKE would read every
row for. The extension pg_trgm does the same, but not every server has it.
"""

from django.db import migrations, models
from django.db.models.functions import Left

POSTGRESQL = [
    # In upper case, as Django's `icontains` compares. A loop takes less time here than a query,
    # and grows with the length of the name only. The cost is what a name of 40 characters takes:
    # with the usual 100 the planner prefers to compute this for many rows to using the index.
    """
    CREATE OR REPLACE FUNCTION name_trigrams(name text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 2000 AS $$
    DECLARE
        letters text[] := string_to_array(upper(name), NULL);
        trigrams text[] := '{}';
    BEGIN
        FOR i IN 1 .. cardinality(letters) - 2 LOOP
            trigrams := trigrams || (letters[i] || letters[i + 1] || letters[i + 2]);
        END LOOP;
        RETURN trigrams;
    END $$
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
        migrations.AddIndex(
            model_name="session",
            index=models.Index(
                fields=["-created_at", "-id"],
                name="sessions_auto_named_newest",
                condition=models.Q(auto_named=True, platform="automagik", keep=False),
            ),
        ),
        migrations.RunPython(create, drop),
    ]
