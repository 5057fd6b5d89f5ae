"""Finding removed sessions in the archive: page by page in one run, or in all runs.

An id, or the start of one, is looked up by key. Names have no index, which would slow down each
removal: a search for one reads a limited number of rows, and says where it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import F, QuerySet

from sessions_app.models import CleanupRun, RemovedSession
from sessions_app.search.sessions import ids_starting_with

PAGE_SIZE = 50
HITS = 20  # of a search in all runs
NAMES_READ = 50_000  # rows, by one search
_RUNS_SEARCHED = 1000  # the newest ones with an archive
# At least the first group of an id: alone, or at the end of a generated name.
_ID = re.compile(r"(?:^|-)([0-9a-f][0-9a-f-]{7,35})$", re.IGNORECASE)


@dataclass(frozen=True)
class RemovedPage:
    """Some of a run's removed sessions, by id.

    The previous page ends before the id `previous`, and the next one begins after the id `next`;
    None when there is none. `names_read` is the number of rows after which a search stopped; None
    when it read all of them.
    """

    rows: list[RemovedSession]
    previous: UUID | None = None
    next: UUID | None = None
    names_read: int | None = None


@dataclass(frozen=True)
class Found:
    """What a search in all runs found, the newest runs first; `names_read` as in RemovedPage."""

    rows: list[RemovedSession] = field(default_factory=list)
    has_more: bool = False
    names_read: int | None = None


def read_page(
    run: CleanupRun, *, after: UUID | None = None, before: UUID | None = None
) -> RemovedPage:
    """A page of the archive of `run`."""
    archived = run.removed_sessions.all()
    if before is not None:
        newest_first = archived.filter(session_id__lt=before).order_by("-session_id")
        rows = list(newest_first[: PAGE_SIZE + 1])
        page = rows[:PAGE_SIZE][::-1]
        return RemovedPage(
            page,
            previous=page[0].session_id if len(rows) > PAGE_SIZE else None,
            next=page[-1].session_id if page else None,
        )
    if after is not None:
        archived = archived.filter(session_id__gt=after)
    rows = list(archived.order_by("session_id")[: PAGE_SIZE + 1])
    page = rows[:PAGE_SIZE]
    return RemovedPage(
        page,
        previous=page[0].session_id if page and after is not None else None,
        next=page[-1].session_id if len(rows) > PAGE_SIZE else None,
    )


def search_run(run: CleanupRun, text: str, *, after: UUID | None = None) -> RemovedPage:
    """What `run` removed whose id begins with the text, or whose name contains it."""
    archived = run.removed_sessions.order_by("session_id")
    if after is not None:
        archived = archived.filter(session_id__gt=after)
    if ids := ids_in(text):
        found = _page(archived.filter(session_id__range=ids))
        if found.rows or ids[0] == ids[1]:  # no other session's name contains a whole id
            return found
    last_read = archived.values_list("session_id", flat=True)[NAMES_READ - 1 : NAMES_READ].first()
    if last_read is None:
        return _page(archived.filter(name__icontains=text))
    found = _page(archived.filter(session_id__lte=last_read, name__icontains=text))
    if found.next is not None:
        return found
    return RemovedPage(found.rows, next=last_read, names_read=NAMES_READ)


def search_runs(text: str) -> Found:
    """Like `search_run`, in the archives of all cleanups."""
    archived_rows = F("removed") - F("restored")
    runs = list(
        CleanupRun.objects.filter(archive_purged_at=None, removed__gt=F("restored"))
        .order_by("-pk")
        .values_list("pk", archived_rows)[:_RUNS_SEARCHED]
    )
    if ids := ids_in(text):
        rows = _rows([pk for pk, _ in runs]).filter(session_id__range=ids)[: HITS + 1]
        if rows or ids[0] == ids[1]:  # as above
            return Found(list(rows[:HITS]), has_more=len(rows) > HITS)
    return _search_names(text, runs)


def _search_names(text: str, runs: Sequence[tuple[int, int]]) -> Found:
    """Search runs, given with the size of their archives, until NAMES_READ rows were read."""
    whole: list[int] = []
    remaining = NAMES_READ
    partial: int | None = None  # the run of which only the first rows are read
    for pk, count in runs:
        if count > remaining:
            partial = pk
            break
        remaining -= count
        whole.append(pk)
    rows = list(_rows(whole).filter(name__icontains=text)[: HITS + 1])
    if partial is not None and remaining and len(rows) <= HITS:
        ids = RemovedSession.objects.filter(run=partial).order_by("session_id")
        last_read = ids.values_list("session_id", flat=True)[remaining - 1 : remaining].first()
        matching = _rows([partial]).filter(name__icontains=text)
        if last_read is not None:
            matching = matching.filter(session_id__lte=last_read)
        rows += matching[: HITS + 1 - len(rows)]
    return Found(
        rows[:HITS],
        has_more=len(rows) > HITS,
        names_read=None if partial is None else NAMES_READ,
    )


def ids_in(text: str) -> tuple[UUID, UUID] | None:
    """The lowest and the highest id that start like the one in the text; None without one."""
    match = _ID.search(text.strip())
    return ids_starting_with(match[1]) if match else None


def _rows(runs: Sequence[int]) -> QuerySet[RemovedSession]:
    """The archived sessions of these runs. A list, not a subquery, makes each a look-up by key."""
    rows = RemovedSession.objects.filter(run__in=runs).prefetch_related("run")
    return rows.order_by("-run_id", "session_id")


def _page(archived: QuerySet[RemovedSession]) -> RemovedPage:
    rows = list(archived[: PAGE_SIZE + 1])
    page = rows[:PAGE_SIZE]
    return RemovedPage(page, next=page[-1].session_id if len(rows) > PAGE_SIZE else None)
