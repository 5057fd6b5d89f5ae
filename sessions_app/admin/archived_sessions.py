"""What the pages of cleanup runs show of removed sessions: a run's archive, and search results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from sessions_app.admin.shared import link_if_allowed, may_view
from sessions_app.cleanup.removed import (
    NAMES_READ,
    Found,
    ids_in,
    read_page,
    search_run,
    search_runs,
)
from sessions_app.models import CleanupRun, RemovedSession, Session

_PRESENT_SHOWN = 3


@dataclass(frozen=True)
class ArchivedSession:
    """A row of a table of removed sessions."""

    removed: RemovedSession
    user: str  # empty without one, for users who may not see users, and when it is deleted


@dataclass(frozen=True)
class Archive:
    """The part of a run's archive that its page shows."""

    rows: list[ArchivedSession]
    total: int
    query: str  # what is searched for
    previous: str  # query strings, empty without such a page
    next: str
    is_first: bool
    names_read: int | None


def read_archive(request: HttpRequest, run: CleanupRun) -> Archive:
    """The page of the run's archive that the request asks for."""
    text = request.GET.get("q", "").replace("\0", "").strip()
    after, before = _id(request.GET.get("after")), _id(request.GET.get("before"))
    if text:
        page = search_run(run, text, after=after)
    else:
        page = read_page(run, after=after, before=before)
    searched = {"q": text} if text else {}
    return Archive(
        rows=_with_users(request, page.rows),
        total=run.archived,
        query=text,
        previous=urlencode({**searched, "before": page.previous}) if page.previous else "",
        next=urlencode({**searched, "after": page.next}) if page.next else "",
        is_first=after is None and page.previous is None,
        names_read=page.names_read,
    )


class CleanupRunList(ChangeList):
    """A search finds removed sessions; the list then has the runs that removed those."""

    found: Found | None
    found_rows: list[ArchivedSession]
    present: list[str]  # sessions of that id that exist, as links
    names_limit = NAMES_READ

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        runs: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        text = self.query.replace("\0", "").strip()
        self.found, self.found_rows, self.present = None, [], []
        if not text:
            return runs
        self.found = search_runs(text)
        self.found_rows = _with_users(request, self.found.rows)
        self.present = _present(request, text)
        return runs.filter(pk__in={row.run_id for row in self.found.rows})


def _present(request: HttpRequest, text: str) -> list[str]:
    """The sessions with that id that have not gone, or have been restored."""
    if not may_view(request, Session) or not (ids := ids_in(text)):
        return []
    rows = Session.objects.filter(pk__range=ids).order_by("pk").only("name")[:_PRESENT_SHOWN]
    return [link_if_allowed(request, row, str(row)) for row in rows]


def _with_users(request: HttpRequest, rows: Iterable[RemovedSession]) -> list[ArchivedSession]:
    rows = list(rows)
    names: dict[int, str] = {}
    keys = {row.user_id for row in rows if row.user_id is not None}
    if keys and may_view(request, User):
        names = dict(User.objects.filter(pk__in=keys).values_list("pk", "username"))
    return [ArchivedSession(row, names.get(row.user_id or 0, "")) for row in rows]


def _id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
