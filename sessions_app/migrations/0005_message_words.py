"""The index of the words in messages, which sessions_app.search reads.

PostgreSQL has an index by expression, SQLite a table of its full-text module that triggers keep
up to date. A later migration that makes SQLite's `messages` anew drops the triggers with the
old table, and has to create them again.
"""

from django.db import migrations, transaction

# Characters at which words end, and those of scripts without blanks between words, of which
# each counts as a word. PostgreSQL's parser would read paths, addresses, numbers with a sign and
# tags as one word.
#
# A vector has at most a megabyte: that suffices for 200,000 characters of any kind. The cost is
# what a text of 500 characters takes; with the usual 1 the planner prefers to read every message
# of a user to using the index. PL/pgSQL, because an inlined function has no cost of its own.
POSTGRESQL = [
    r"""
    CREATE OR REPLACE FUNCTION message_words(text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE STRICT COST 3000 AS $$ BEGIN
        RETURN to_tsvector('simple', regexp_replace(
            left($1, 200000),
            '([-<>&/.@:+_~%?=#;\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff])',
            ' \1 ',
            'g'
        ));
    END $$
    """,
    # An attempt that was interrupted leaves an index that is never used.
    "DROP INDEX CONCURRENTLY IF EXISTS messages_words",
    "CREATE INDEX CONCURRENTLY messages_words ON messages USING gin (message_words(text_content))",
]
POSTGRESQL_UNDO = [
    "DROP INDEX CONCURRENTLY IF EXISTS messages_words",
    "DROP FUNCTION IF EXISTS message_words(text)",
]

# `messages` has no integer key that stays the same in a VACUUM.
SQLITE = [
    """
    CREATE TABLE message_words_keys (
        id integer PRIMARY KEY, message_id char(32) NOT NULL UNIQUE
    )
    """,
    """
    CREATE VIRTUAL TABLE message_words USING fts5(
        text_content, content='', tokenize="unicode61 remove_diacritics 0"
    )
    """,
    "INSERT INTO message_words_keys (message_id) SELECT id FROM messages",
    """
    INSERT INTO message_words (rowid, text_content)
    SELECT k.id, m.text_content FROM message_words_keys AS k JOIN messages AS m ON m.id = k.message_id
    """,
    """
    CREATE TRIGGER message_words_insert AFTER INSERT ON messages BEGIN
        INSERT INTO message_words_keys (message_id) VALUES (new.id);
        INSERT INTO message_words (rowid, text_content)
        SELECT id, new.text_content FROM message_words_keys WHERE message_id = new.id;
    END
    """,
    """
    CREATE TRIGGER message_words_update AFTER UPDATE OF text_content ON messages BEGIN
        INSERT INTO message_words (message_words, rowid, text_content)
        SELECT 'delete', id, old.text_content FROM message_words_keys WHERE message_id = old.id;
        INSERT INTO message_words (rowid, text_content)
        SELECT id, new.text_content FROM message_words_keys WHERE message_id = new.id;
    END
    """,
    """
    CREATE TRIGGER message_words_delete AFTER DELETE ON messages BEGIN
        INSERT INTO message_words (message_words, rowid, text_content)
        SELECT 'delete', id, old.text_content FROM message_words_keys WHERE message_id = old.id;
        DELETE FROM message_words_keys WHERE message_id = old.id;
    END
    """,
]
SQLITE_UNDO = [
    "DROP TRIGGER message_words_insert",
    "DROP TRIGGER message_words_update",
    "DROP TRIGGER message_words_delete",
    "DROP TABLE message_words",
    "DROP TABLE message_words_keys",
]


def create(apps, schema_editor):
    execute(schema_editor, postgresql=POSTGRESQL, sqlite=SQLITE)


def drop(apps, schema_editor):
    execute(schema_editor, postgresql=POSTGRESQL_UNDO, sqlite=SQLITE_UNDO)


def execute(schema_editor, *, postgresql, sqlite):
    if schema_editor.connection.vendor == "postgresql":
        for statement in postgresql:
            schema_editor.execute(statement, params=None)
    else:
        with transaction.atomic(schema_editor.connection.alias):
            for statement in sqlite:
                schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    atomic = False  # for CONCURRENTLY

    dependencies = [("sessions_app", "0004_chat_page")]

    operations = [migrations.RunPython(create, drop)]
