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

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import BooleanField, TextField, Value, sql
from django.db.models.expressions import RawSQL

from sessions_app.models import CleanupRun, RemovedSession
from sessions_app.querysets import SessionQuerySet

# The archive has the session's own columns, under the same names.
_COLUMNS = [
    field.attname
    for field in RemovedSession._meta.concrete_fields
    if field.name not in {"run", "session_id"}
]
_ARCHIVE = 'INSERT INTO "{table}" ("run_id", "session_id", {columns})'.format(
    table=RemovedSession._meta.db_table,
    columns=", ".join(f'"{column}"' for column in _COLUMNS),
)

_TRANSACTION_SETTINGS = """
    -- Never wait long for a lock: the batch is tried again instead.
    SET LOCAL lock_timeout = '2s';
    -- A batch is a thousand look-ups by key. The planner, led by the size of the tables,
    -- is drawn to plans that read all messages for every batch.
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_seqscan = off;
"""


@dataclass(frozen=True)
class KeyRange:
    """The sessions with an id above `after`, up to and including `upto`; None is open."""

    after: UUID | None = None
    upto: UUID | None = None

    def of(self, sessions: SessionQuerySet) -> SessionQuerySet:
        if self.after is not None:
            sessions = sessions.filter(pk__gt=self.after)
        if self.upto is not None:
            sessions = sessions.filter(pk__lte=self.upto)
        return sessions


@dataclass(frozen=True)
class Batch:
    """What one batch did; `last` is None when there was nothing (left) to look at."""

    removed: int
    last: UUID | None


def remove_batch(
    run: CleanupRun, removable: SessionQuerySet, keys: KeyRange, *, size: int, archive: bool
) -> Batch:
    """Remove up to `size` of the `removable` sessions within `keys`, lowest ids first.

    What is removed, its archive and the run's count are committed together. Raises
    DatabaseError, with nothing changed, when the transaction fails.
    """
    with transaction.atomic():
        candidates = keys.of(removable).order_by("pk")[:size].select_for_update(skip_locked=True)
        remove = _remove_postgresql if connection.vendor == "postgresql" else _remove_sqlite
        batch = remove(run, removable, candidates, archive)
        if batch.removed:
            run.add_removed(batch.removed)
    return batch


def _remove_postgresql(
    run: CleanupRun, removable: SessionQuerySet, candidates: SessionQuerySet, archive: bool
) -> Batch:
    """The ids stay in the server, and rows are found by their place (ctid).

    Nobody moves a row that this transaction has locked; if the place were stale all the
    same, the second statement would find nothing there.
    """
    place = RawSQL('"sessions"."ctid"', [], output_field=TextField())
    locked, locked_params = _sql(candidates.annotate(ctid=place).values("pk", "ctid"))
    with connection.cursor() as cursor:
        cursor.execute(_TRANSACTION_SETTINGS)
        cursor.execute(
            f"WITH locked (id, place) AS ({locked}) "
            "SELECT (array_agg(id ORDER BY id DESC))[1], array_agg(place)::text FROM locked",
            locked_params,
        )
        last, places = cursor.fetchone()
        if last is None:
            return Batch(removed=0, last=None)
        in_place = RawSQL('"sessions"."ctid" = ANY(%s::tid[])', [places], BooleanField())
        going, params = _delete_sql(removable.filter(in_place))
        if archive:
            columns = ", ".join(f'"{column}"' for column in _COLUMNS)
            cursor.execute(
                f'WITH gone AS ({going} RETURNING "id", {columns}) '
                f'{_ARCHIVE} SELECT %s, "id", {columns} FROM gone',
                [*params, run.pk],
            )
        else:
            cursor.execute(going, params)
        removed = cursor.rowcount
        # Now rather than at COMMIT, when the run's own row, which all workers of a run
        # share, would be locked meanwhile.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return Batch(removed=removed, last=last)


def _remove_sqlite(
    run: CleanupRun, removable: SessionQuerySet, candidates: SessionQuerySet, archive: bool
) -> Batch:
    """The transaction is the only writer from its start (transaction_mode IMMEDIATE)."""
    ids = list(candidates.values_list("pk", flat=True))
    if not ids:
        return Batch(removed=0, last=None)
    going = removable.filter(pk__in=ids)
    with connection.cursor() as cursor:
        if archive:
            rows, params = _sql(going.values_list(Value(run.pk), "pk", *_COLUMNS))
            cursor.execute(f"{_ARCHIVE} {rows}", params)
        cursor.execute(*_delete_sql(going))
        return Batch(removed=cursor.rowcount, last=ids[-1])


def _sql(query: Any) -> tuple[str, tuple[Any, ...]]:
    statement: tuple[str, tuple[Any, ...]] = query.query.get_compiler(
        connection=connection
    ).as_sql()
    return statement


def _delete_sql(sessions: SessionQuerySet) -> tuple[str, tuple[Any, ...]]:
    """A single DELETE; unlike `QuerySet.delete()`, which collects and cascades."""
    deletion = sessions.order_by()
    deletion.query = deletion.query.chain(sql.DeleteQuery)
    return _sql(deletion)
