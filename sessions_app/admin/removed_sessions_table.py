"""The paginated table of removed sessions on a cleanup run's page."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest

from sessions_app.admin.shared import may_view
from sessions_app.cleanup.archive_search import read_page, search_run
from sessions_app.models import CleanupRun, RemovedSession


@dataclass(frozen=True)
class ArchivedSession:
    """A row of a table of removed sessions."""

    removed: RemovedSession
    user: str  # empty if there is none, if it was deleted, or if the viewer may not see users


@dataclass(frozen=True)
class Archive:
    """The part of a run's archive that its page shows."""

    max_length: ClassVar[int] = 200  # characters of the query

    rows: list[ArchivedSession]
    total: int
    query: str  # the search text
    previous: str  # query strings; empty if there is no such page
    next: str
    is_first: bool
    names_read: int | None


def read_archive(request: HttpRequest, run: CleanupRun) -> Archive:
    """Return the page of the run's archive that the request asks for."""
    text = request.GET.get("q", "").replace("\0", "").strip()
    after, before = _id(request.GET.get("after")), _id(request.GET.get("before"))
    if text:
        page = search_run(run, text, after=after)
    else:
        page = read_page(run, after=after, before=before)
    searched = {"q": text} if text else {}
    return Archive(
        rows=with_users(request, page.rows),
        total=run.archived,
        query=text,
        previous=urlencode({**searched, "before": page.previous}) if page.previous else "",
        next=urlencode({**searched, "after": page.next}) if page.next else "",
        is_first=after is None and page.previous is None,
        names_read=page.names_read,
    )


def with_users(request: HttpRequest, rows: Iterable[RemovedSession]) -> list[ArchivedSession]:
    """Return the rows with the names of the sessions' users."""
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
