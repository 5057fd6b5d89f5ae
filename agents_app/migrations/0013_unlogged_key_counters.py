"""Counting a key's requests waits for no disk: the counters may be lost in a crash."""

from django.db import migrations


def set_unlogged(apps, schema_editor):
    execute(schema_editor, "ALTER TABLE api_key_requests SET UNLOGGED")


def set_logged(apps, schema_editor):
    execute(schema_editor, "ALTER TABLE api_key_requests SET LOGGED")


def execute(schema_editor, statement):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("agents_app", "0012_run_lists")]

    operations = [migrations.RunPython(set_unlogged, set_logged)]
