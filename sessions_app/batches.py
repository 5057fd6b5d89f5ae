"""The cleaner's half of the protocol: one batch of removals, in one transaction.

Statement 1 locks sessions that may be removed, in key order, passing over rows that
somebody else has locked (a chat that is just getting its message). Statement 2 sees what
has been committed until then, checks the full condition again, and removes exactly the
sessions that still meet it, archiving them. One statement would not do: it looks at a
single snapshot, in which a message committed while it waited does not exist (PostgreSQL
manual, 13.2.1 "Read Committed Isolation Level"). See sessions_app.writing for the
writer's half.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet, TextField, Value, sql
from django.db.models.expressions import RawSQL

from sessions_app.models import CleanupRun, RemovedSession, Session
from sessions_app.querysets import SessionQuerySet

_TRANSACTION_SETTINGS = """
    -- Never wait long for a lock: the batch is tried again instead.
    SET LOCAL lock_timeout = '2s';
    -- A batch need not wait for the disk: after a crash of the server its removals, their
    -- archive and their count are undone together. The end of the run waits for all of them.
    SET LOCAL synchronous_commit = off;
    -- A batch is a thousand look-ups by key. The planner, led by the size of the tables,
    -- is drawn to plans that read all messages for every batch.
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_seqscan = off;
"""

Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class KeyRange:
    """The sessions with an id above `after`, up to and including `upto`; None is open."""

    after: UUID | None = None
    upto: UUID | None = None

    def as_sql(self) -> Statement:
        """What narrows a statement whose WHERE clause is already there."""
        ends = [(">", self.after), ("<=", self.upto)]
        given = [(operator, end) for operator, end in ends if end is not None]
        to_database = Session._meta.pk.get_db_prep_value
        return (
            "".join(f' AND "sessions"."id" {operator} %s' for operator, _ in given),
            tuple(to_database(end, connection) for _, end in given),
        )


@dataclass(frozen=True)
class Batch:
    """What one batch did; `last` is None when there was nothing (left) to look at."""

    removed: int
    last: UUID | None


class Batches:
    """Removes `removable` sessions for `run`, batch after batch.

    The queryset becomes SQL once, not for each batch, most of whose time it would take; what
    differs from batch to batch is appended to its WHERE clause.
    """

    def __init__(self, run: CleanupRun, removable: SessionQuerySet, *, archive: bool) -> None:
        self._run = run
        self._archive = archive
        self._removable = removable.order_by()
        self._delete, self._delete_params = _deletion(self._removable)
        # The archive has the session's own columns, under the same names.
        self._column_names = RemovedSession.columns()
        self._columns = ", ".join(f'"{column}"' for column in self._column_names)
        self._insert = f'INSERT INTO "removed_sessions" ("run_id", "session_id", {self._columns})'

    def remove(self, keys: KeyRange, *, size: int) -> Batch:
        """Remove up to `size` sessions within `keys`, lowest ids first.

        What is removed, its archive and the run's count are committed together. Raises
        DatabaseError, with nothing changed, when the transaction fails.
        """
        with transaction.atomic():
            with connection.cursor() as cursor:
                batch = self._remove(cursor, keys, size)
            if batch.removed:
                self._run.add_removed(batch.removed)
        return batch

    def _remove(self, cursor: CursorWrapper, keys: KeyRange, size: int) -> Batch:
        raise NotImplementedError


class PostgresqlBatches(Batches):
    """The ids stay in the server, and rows are found by their place (ctid).

    Nobody moves a row that this transaction has locked; if a place were stale all the same,
    the second statement would find nothing there.
    """

    def __init__(self, run: CleanupRun, removable: SessionQuerySet, *, archive: bool) -> None:
        super().__init__(run, removable, archive=archive)
        place = RawSQL('"sessions"."ctid"', [], output_field=TextField())
        places = self._removable.annotate(ctid=place).values_list("pk", "ctid")
        self._select, self._select_params = _compile(places)

    def _remove(self, cursor: CursorWrapper, keys: KeyRange, size: int) -> Batch:
        cursor.execute(_TRANSACTION_SETTINGS)
        last, places = self._lock(cursor, keys, size)
        if last is None:
            return Batch(removed=0, last=None)
        delete = f'{self._delete} AND "sessions"."ctid" = ANY(%s::tid[])'
        if self._archive:
            cursor.execute(
                f'WITH gone AS ({delete} RETURNING "id", {self._columns}) '
                f'{self._insert} SELECT %s, "id", {self._columns} FROM gone',
                (*self._delete_params, places, self._run.pk),
            )
        else:
            cursor.execute(delete, (*self._delete_params, places))
        removed = cursor.rowcount
        # Now rather than at COMMIT, when the run's own row, which all workers of a run
        # share, would be locked meanwhile.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return Batch(removed, last)

    def _lock(
        self, cursor: CursorWrapper, keys: KeyRange, size: int
    ) -> tuple[UUID | None, str | None]:
        """Lock the next sessions; returns the last one's id, and the places of all."""
        within, bounds = keys.as_sql()
        cursor.execute(
            f"WITH locked (id, place) AS ({self._select} {within} "
            'ORDER BY "sessions"."id" LIMIT %s FOR UPDATE SKIP LOCKED) '
            "SELECT (array_agg(id ORDER BY id DESC))[1], array_agg(place)::text FROM locked",
            (*self._select_params, *bounds, size),
        )
        last, places = cursor.fetchone()
        return last, places


class SqliteBatches(Batches):
    """The transaction is the only writer from its start (transaction_mode IMMEDIATE)."""

    def __init__(self, run: CleanupRun, removable: SessionQuerySet, *, archive: bool) -> None:
        super().__init__(run, removable, archive=archive)
        self._select, self._select_params = _compile(self._removable.values_list("pk"))
        rows = self._removable.values_list(Value(run.pk), "pk", *self._column_names)
        self._rows, self._rows_params = _compile(rows)

    def _remove(self, cursor: CursorWrapper, keys: KeyRange, size: int) -> Batch:
        within, bounds = keys.as_sql()
        cursor.execute(
            f'{self._select} {within} ORDER BY "sessions"."id" LIMIT %s',
            (*self._select_params, *bounds, size),
        )
        ids = [key for (key,) in cursor.fetchall()]
        if not ids:
            return Batch(removed=0, last=None)
        these, listed = ' AND "sessions"."id" IN (SELECT value FROM json_each(%s))', json.dumps(ids)
        if self._archive:
            cursor.execute(f"{self._insert} {self._rows} {these}", (*self._rows_params, listed))
        cursor.execute(f"{self._delete} {these}", (*self._delete_params, listed))
        return Batch(cursor.rowcount, last=UUID(ids[-1]))


def batches_for(run: CleanupRun, removable: SessionQuerySet, *, archive: bool) -> Batches:
    """The batches for the database that is in use."""
    kind = PostgresqlBatches if connection.vendor == "postgresql" else SqliteBatches
    return kind(run, removable, archive=archive)


def equal_shares(sessions: SessionQuerySet, number: int) -> list[KeyRange]:
    """Ranges that cover all keys, with about as many of the sessions in each; PostgreSQL only.

    At most `number`, and fewer when there are few sessions. One statement finds all the ends:
    another cleanup may remove rows between two.
    """
    keys, params = _compile(sessions.order_by().values_list("pk"))
    shares = [share / number for share in range(1, number)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY id) "
            f"FROM ({keys}) AS candidates (id)",
            (shares, *params),
        )
        (found,) = cursor.fetchone()
    ends = sorted(set(found or []))
    return [KeyRange(after, upto) for after, upto in zip([None, *ends], [*ends, None], strict=True)]


def _compile(query: QuerySet[Any, Any]) -> Statement:
    statement: Statement = query.query.get_compiler(connection=connection).as_sql()
    return statement


def _deletion(sessions: SessionQuerySet) -> Statement:
    """A single DELETE; unlike `QuerySet.delete()`, which collects and cascades."""
    deletion = sessions.all()
    deletion.query = deletion.query.chain(sql.DeleteQuery)
    return _compile(deletion)
