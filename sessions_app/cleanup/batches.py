"""The cleaner's half of the protocol: one batch of removals, in one transaction.

Statement 1 locks sessions that may be removed, in key order, and skips rows that another
transaction has locked (a writer that is storing a message). Statement 2 sees everything
committed so far, checks the full condition again, and removes and archives exactly the
sessions that still meet it. A single statement is not enough: it sees one snapshot, in which
a message committed while it waited does not exist (PostgreSQL manual, 13.2.1 "Read Committed
Isolation Level"). See sessions_app.writing for the writer's half.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet, TextField, Value, sql
from django.db.models.expressions import RawSQL

from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import SessionQuerySet

logger = logging.getLogger(__name__)

_TRANSACTION_SETTINGS = """
    -- Never wait long for a lock: the batch is retried instead.
    SET LOCAL lock_timeout = '2s';
    -- A batch need not wait for the disk: a crash of the server loses its removals, their archive
    -- and their count together. The commit that ends the run waits for all of them.
    SET LOCAL synchronous_commit = off;
    -- A batch is a thousand lookups by key. For large tables the planner prefers plans that
    -- read all messages for every batch.
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_seqscan = off;
"""

Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class KeyRange:
    """The sessions with an id above `after`, up to and including `upto`; None is unbounded."""

    after: UUID | None = None
    upto: UUID | None = None

    def as_sql(self) -> Statement:
        """Conditions to append to a WHERE clause."""
        ends = [(">", self.after), ("<=", self.upto)]
        given = [(operator, end) for operator, end in ends if end is not None]
        to_database = Session._meta.pk.get_db_prep_value
        return (
            "".join(f' AND "sessions"."id" {operator} %s' for operator, _ in given),
            tuple(to_database(end, connection) for _, end in given),
        )


@dataclass(frozen=True)
class Batch:
    """What one batch did; `last` is the highest id that it examined, None if there was none."""

    removed: int
    last: UUID | None


class Batches:
    """Removes `removable` sessions for `run`, batch after batch.

    The queryset is compiled to SQL once: compiling it for each batch would take most of the
    batch's time. What differs from batch to batch is appended to the WHERE clause.
    """

    def __init__(self, run: CleanupRun, removable: SessionQuerySet, *, archive: bool) -> None:
        self._run = run
        self._archive = archive
        self._removable = removable.order_by()
        self._delete, self._delete_params = _compile_delete(self._removable)
        # The archive's columns have the same names as the session's.
        self._column_names = Session.archived_columns()
        self._columns = ", ".join(f'"{column}"' for column in self._column_names)
        self._insert = f'INSERT INTO "removed_sessions" ("run_id", "session_id", {self._columns})'

    def remove_batch(self, keys: KeyRange, *, size: int) -> Batch:
        """Remove up to `size` sessions within `keys`, lowest ids first.

        The removal, the archive and the run's count are committed together. Raises
        DatabaseError, with nothing changed, when the transaction fails.
        """
        with transaction.atomic():
            with connection.cursor() as cursor:
                batch = self._delete_batch(cursor, keys, size)
            if batch.removed:
                self._run.add_removed(batch.removed)
        logger.debug("%s: removed %d sessions up to %s", self._run, batch.removed, batch.last)
        return batch

    def _delete_batch(self, cursor: CursorWrapper, keys: KeyRange, size: int) -> Batch:
        """Lock, check again, delete and archive, with the statements of the database in use."""
        raise NotImplementedError


class PostgresqlBatches(Batches):
    """The ids stay in the server, and the second statement finds the rows by their ctid.

    The ctid of a locked row does not change; a stale one would match no row.
    """

    def __init__(self, run: CleanupRun, removable: SessionQuerySet, *, archive: bool) -> None:
        super().__init__(run, removable, archive=archive)
        ctid = RawSQL('"sessions"."ctid"', [], output_field=TextField())
        rows = self._removable.annotate(ctid=ctid).values_list("pk", "ctid")
        self._select, self._select_params = _compile(rows)

    def _delete_batch(self, cursor: CursorWrapper, keys: KeyRange, size: int) -> Batch:
        cursor.execute(_TRANSACTION_SETTINGS)
        last, ctids = self._lock(cursor, keys, size)
        if last is None:
            return Batch(removed=0, last=None)
        delete = f'{self._delete} AND "sessions"."ctid" = ANY(%s::tid[])'
        if self._archive:
            cursor.execute(
                f'WITH deleted AS ({delete} RETURNING "id", {self._columns}) '
                f'{self._insert} SELECT %s, "id", {self._columns} FROM deleted',
                (*self._delete_params, ctids, self._run.pk),
            )
        else:
            cursor.execute(delete, (*self._delete_params, ctids))
        removed = cursor.rowcount
        # Checked before the run's row, which its workers share, is locked, rather than at COMMIT.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return Batch(removed, last)

    def _lock(
        self, cursor: CursorWrapper, keys: KeyRange, size: int
    ) -> tuple[UUID | None, str | None]:
        """Lock the next sessions; returns the last one's id, and the ctids of all."""
        in_range, bounds = keys.as_sql()
        cursor.execute(
            f"WITH locked (id, ctid) AS ({self._select} {in_range} "
            'ORDER BY "sessions"."id" LIMIT %s FOR UPDATE SKIP LOCKED) '
            "SELECT (array_agg(id ORDER BY id DESC))[1], array_agg(ctid)::text FROM locked",
            (*self._select_params, *bounds, size),
        )
        last, ctids = cursor.fetchone()
        return last, ctids


class SqliteBatches(Batches):
    """No row locks: the transaction is the only writer (transaction_mode IMMEDIATE)."""

    def __init__(self, run: CleanupRun, removable: SessionQuerySet, *, archive: bool) -> None:
        super().__init__(run, removable, archive=archive)
        self._select, self._select_params = _compile(self._removable.values_list("pk"))
        rows = self._removable.values_list(Value(run.pk), "pk", *self._column_names)
        self._rows, self._rows_params = _compile(rows)

    def _delete_batch(self, cursor: CursorWrapper, keys: KeyRange, size: int) -> Batch:
        in_range, bounds = keys.as_sql()
        cursor.execute(
            f'{self._select} {in_range} ORDER BY "sessions"."id" LIMIT %s',
            (*self._select_params, *bounds, size),
        )
        ids = [key for (key,) in cursor.fetchall()]
        if not ids:
            return Batch(removed=0, last=None)
        listed = ' AND "sessions"."id" IN (SELECT value FROM json_each(%s))'
        id_list = json.dumps(ids)
        if self._archive:
            cursor.execute(f"{self._insert} {self._rows} {listed}", (*self._rows_params, id_list))
        cursor.execute(f"{self._delete} {listed}", (*self._delete_params, id_list))
        return Batch(cursor.rowcount, last=UUID(ids[-1]))


def batches_for(run: CleanupRun, removable: SessionQuerySet, *, archive: bool) -> Batches:
    """The implementation for the database in use."""
    batches = PostgresqlBatches if connection.vendor == "postgresql" else SqliteBatches
    return batches(run, removable, archive=archive)


def equal_shares(sessions: SessionQuerySet, number: int) -> list[KeyRange]:
    """Ranges that cover all keys, with about equally many of the sessions each; PostgreSQL only.

    At most `number`, fewer when there are few sessions. One statement finds all bounds, since
    another cleanup may remove rows between two statements.
    """
    keys, params = _compile(sessions.order_by().values_list("pk"))
    shares = [share / number for share in range(1, number)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY id) "
            f"FROM ({keys}) AS candidates (id)",
            (shares, *params),
        )
        (percentiles,) = cursor.fetchone()
    ends = sorted(set(percentiles or []))
    return [KeyRange(after, upto) for after, upto in zip([None, *ends], [*ends, None], strict=True)]


def _compile(query: QuerySet[Any, Any]) -> Statement:
    statement: Statement = query.query.get_compiler(connection=connection).as_sql()
    return statement


def _compile_delete(sessions: SessionQuerySet) -> Statement:
    """A single DELETE; unlike `QuerySet.delete()`, which collects and cascades."""
    delete = sessions.all()
    delete.query = delete.query.chain(sql.DeleteQuery)
    return _compile(delete)
