"""The admin's index page for staff who may view sessions: recent activity, and what is removable.

Its cost does not depend on the size of the tables: one statement each for sessions, messages and
answers per day (an index range per number, up to COUNT_LIMIT entries) and for removable sessions,
cached for CACHE_SECONDS if they were slow; and one each for times, cleanups and failures (the
newest rows only). The exception is removable_by_age where few of very many candidates are empty.

Sessions in the trash are not counted, unless a cleanup would remove them. Their messages and
answers are: they caused work, and a failure remains one when its user deletes the chat.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from time import perf_counter
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents_app.models import AgentRun, RunStatus
from sessions_app.admin.badges import OUTCOMES, badge, cleanup_badge
from sessions_app.admin.formatting import duration, short_time
from sessions_app.admin.message_links import session_title, sessions_with_opening
from sessions_app.admin.shared import link_if_allowed, may_view
from sessions_app.admin.svg_charts import Series, share_bar, stacked_bars, top_of
from sessions_app.admin.transcript_access import may_read_transcripts
from sessions_app.models import CleanupRun, Message, Session
from sessions_app.querysets import Window
from sessions_app.review.reading_log import record_list_reading
from sessions_app.statistics import (
    Age,
    Count,
    Day,
    ages,
    capped_counts,
    last_days,
    per_day,
    removable_by_age,
    total,
)

Text = SafeString | str  # a link, or plain text for the template to escape

DAYS = 30
NEWEST = 5  # cleanups and failures
TIMED = 1000  # answers whose times are measured
SLOW_SECONDS, CACHE_SECONDS = 0.2, 60

# The colour of the bars, by how an answer ended.
_ENDED = {
    RunStatus.DONE: OUTCOMES[RunStatus.DONE],
    RunStatus.STOPPED: OUTCOMES[RunStatus.STOPPED],
    RunStatus.FAILED: OUTCOMES[RunStatus.FAILED],
    # Another shade of the colour of the failed ones, to which it is adjacent.
    RunStatus.INTERRUPTED: f"{OUTCOMES[RunStatus.INTERRUPTED]}-2",
}


@dataclass(frozen=True)
class Chart:
    """A chart and the table of its numbers; `rows` are newest first."""

    title: str
    total: Text
    about: str
    drawing: SafeString
    top: str
    first: str
    last: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Text]]]
    legend: Sequence[tuple[str, str, Text]] = ()


@dataclass(frozen=True)
class Lists:
    """Builds links to filtered lists, if the user may view them."""

    request: HttpRequest

    def link(self, text: object, model: type[Model], parameters: Mapping[str, str]) -> Text:
        """Return the text as a link to the rows that it describes."""
        if not may_view(self.request, model):
            return str(text)
        return format_html('<a href="{}">{}</a>', list_url(model, parameters), text)

    def count(self, count: Count, model: type[Model], window: Window, **parameters: str) -> Text:
        """Return the count as a link to the rows that were counted."""
        if not count.value:
            return "0"
        return self.link(count, model, {**parameters, **between(window)})


@dataclass(frozen=True)
class Counter:
    """Counts, and caches slow results for a while; a cleanup's progress invalidates them."""

    last_cleanup: CleanupRun | None

    def counts(self, name: str, count: Callable[[], list[Count]]) -> list[Count]:
        """Return the result of `count`, or a slow one from less than CACHE_SECONDS ago."""
        last = self.last_cleanup
        progress = f"{last.pk}-{last.removed}-{last.restored}" if last else "none"
        key = f"dashboard-{name}-{progress}-{timezone.localdate()}"
        counts: list[Count] | None = cache.get(key)
        if counts is None:
            started = perf_counter()
            counts = count()
            if perf_counter() - started >= SLOW_SECONDS:
                cache.set(key, counts, CACHE_SECONDS)
        return counts


def list_url(model: type[Model], parameters: Mapping[str, str]) -> str:
    """Return the address of a model's list with these filters."""
    meta = model._meta
    path = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return f"{path}?{urlencode(parameters)}" if parameters else path


def between(window: Window) -> dict[str, str]:
    """Return the filter parameters for rows that were created within the window."""
    bounds = {"created_at__gte": window.created_after, "created_at__lt": window.created_before}
    return {name: str(bound) for name, bound in bounds.items() if bound is not None}


def build_dashboard(request: HttpRequest) -> dict[str, Any]:
    """Return the page's context; only for users who may view sessions."""
    lists = Lists(request)
    days = last_days(DAYS)
    cleanups = list(CleanupRun.objects.with_current_status().order_by("-pk")[:NEWEST])
    counter = Counter(cleanups[0] if cleanups else None)
    return {
        "charts": [
            _volume(lists, counter, days, Session.objects.not_trashed(), "started", trash="no"),
            _volume(lists, counter, days, Message.objects.all(), "stored"),
            _outcomes(lists, counter, days),
        ],
        "times": _times(lists, days),
        "timed": TIMED,
        "days": DAYS,
        "removable": _removable(lists, counter),
        "cleanups": [_cleanup(request, run) for run in cleanups],
        "cleanups_url": list_url(CleanupRun, {}) if may_view(request, CleanupRun) else "",
        "failures": _failures(request),
        "failures_url": (
            list_url(AgentRun, {"status__exact": RunStatus.FAILED})
            if may_view(request, AgentRun)
            else ""
        ),
        "shows_errors": may_read_transcripts(request),
        "time_zone": timezone.get_current_timezone_name(),
    }


# --- Per day ---------------------------------------------------------------------------


def _volume(
    lists: Lists, counter: Counter, days: Sequence[Day], rows: QuerySet[Any], done: str, **only: str
) -> Chart:
    """Chart the number of rows per day; `only` filters their list in the same way."""
    title = "Sessions" if rows.model is Session else "Messages"
    counts = counter.counts(title.lower(), lambda: per_day(rows, days))
    series = [Series(title.lower(), "plain", [count.value for count in counts])]
    return _chart(
        title,
        counts,
        lists.count(total(counts), rows.model, _whole(days), **only),
        f"{done} in the last {DAYS} days",
        days,
        series,
        rows=[
            [lists.count(count, rows.model, day.window, **only)]
            for day, count in zip(days, counts, strict=True)
        ],
    )


def _outcomes(lists: Lists, counter: Counter, days: Sequence[Day]) -> Chart:
    """Chart the answers that have ended, by day and status; uses the index agent_runs_by_status."""
    ended = [
        AgentRun.objects.filter(day.window.as_q(), status=status)
        for status in _ENDED
        for day in days
    ]
    counts = counter.counts("answers", lambda: capped_counts(ended))
    by_status = {
        status: counts[place * len(days) : (place + 1) * len(days)]
        for place, status in enumerate(_ENDED)
    }
    whole = _whole(days)
    return _chart(
        "Answers",
        counts,
        lists.count(total(counts), AgentRun, whole),
        f"in the last {DAYS} days, by outcome",
        days,
        [
            Series(_word(status), kind, [count.value for count in by_status[status]])
            for status, kind in _ENDED.items()
        ],
        rows=[
            [
                lists.count(by_status[status][place], AgentRun, day.window, status__exact=status)
                for status in _ENDED
            ]
            for place, day in enumerate(days)
        ],
        legend=[
            (
                kind,
                _word(status),
                lists.count(total(by_status[status]), AgentRun, whole, status__exact=status),
            )
            for status, kind in _ENDED.items()
        ],
    )


def _chart(
    title: str,
    counts: Sequence[Count],
    whole: Text,
    about: str,
    days: Sequence[Day],
    series: Sequence[Series],
    *,
    rows: Sequence[Sequence[Text]],
    legend: Sequence[tuple[str, str, Text]] = (),
) -> Chart:
    names = [date_format(day.date) for day in days]
    top = Count(top_of(series), is_capped=total(counts).is_capped)
    return Chart(
        title=title,
        total=whole,
        about=about,
        drawing=stacked_bars(f"{title} per day", names, series),
        top=str(top) if top.value else "",
        first=names[0],
        last=names[-1],
        heads=[one.label.capitalize() for one in series],
        rows=list(reversed(list(zip(names, rows, strict=True)))),
        legend=legend,
    )


def _whole(days: Sequence[Day]) -> Window:
    return Window(created_after=days[0].window.created_after)


def _word(status: RunStatus) -> str:
    return str(status.label).lower()


# --- Times -----------------------------------------------------------------------------


def _times(lists: Lists, days: Sequence[Day]) -> list[tuple[str, Text, Text]]:
    """Return medians and 95th percentiles of the newest answers; empty if there are none.

    Reads at most TIMED rows through the index agent_runs_by_status.
    """
    done = AgentRun.objects.filter(_whole(days).as_q(), status=RunStatus.DONE)
    columns = ("created_at", "first_token_at", "finished_at")
    newest = list(done.order_by("-created_at", "-id").values_list(*columns)[:TIMED])
    first_tokens = [first - asked for asked, first, _ in newest if first is not None]
    answers = [ended - asked for asked, _, ended in newest]
    where = {"status__exact": str(RunStatus.DONE), **between(_whole(days))}

    def shown(spans: list[timedelta], share: float) -> Text:
        return lists.link(duration(_percentile(spans, share).total_seconds()), AgentRun, where)

    return [
        (label, shown(spans, 0.5), shown(spans, 0.95))
        for label, spans in (("First token", first_tokens), ("Full answer", answers))
        if spans
    ]


def _percentile(spans: Sequence[timedelta], share: float) -> timedelta:
    """Return the smallest span that this share of the spans does not exceed."""
    return sorted(spans)[max(0, ceil(share * len(spans)) - 1)]


# --- Removable -------------------------------------------------------------------------


def _removable(lists: Lists, counter: Counter) -> dict[str, Any]:
    by = ages()
    sessions = Session.objects.all()
    counts = counter.counts("removable", lambda: removable_by_age(sessions, by))
    kinds = ("plain", "plain-2", "plain-3", "plain-4")
    series = [
        Series(age.label.lower(), kind, [count.value])
        for age, kind, count in zip(by, kinds, counts, strict=True)
    ]
    whole = total(counts)
    return {
        "total": lists.link(whole, Session, {"removable": "yes"}) if whole.value else "0",
        "any": bool(whole.value),
        "drawing": share_bar("Removable sessions by age", series),
        "ages": [
            (kind, age.label, lists.count(count, Session, age.window, removable="yes"))
            for age, kind, count in zip(by, kinds, counts, strict=True)
        ],
        "removals": _removals(lists, by, counts),
    }


def _removals(lists: Lists, by: Sequence[Age], counts: Sequence[Count]) -> list[tuple[str, str]]:
    """Return the buttons that start a cleanup: labels, and the list's addresses to post to.

    The list's confirmation and progress pages follow. Empty for users who may not remove.
    """
    if not lists.request.user.has_perm("sessions_app.delete_session"):
        return []
    choices = [("Remove all…", by[0].window.created_before, total(counts))]
    choices += [
        (f"Older than {days} days…", age.window.created_before, total(counts[place:]))
        for place, days, age in ((2, 7, by[2]), (3, 30, by[3]))
    ]
    return [
        (label, list_url(Session, {"removable": "yes", **between(Window(created_before=before))}))
        for label, before, count in choices
        if count.value
    ]


# --- Newest ----------------------------------------------------------------------------


@dataclass(frozen=True)
class CleanupRow:
    """A cleanup."""

    run: Text
    started: str
    started_by: str
    removed: Text
    outcome: SafeString


def _cleanup(request: HttpRequest, run: CleanupRun) -> CleanupRow:
    return CleanupRow(
        run=link_if_allowed(request, run, str(run)),
        started=short_time(run.started_at),
        started_by=run.started_by,
        removed=link_if_allowed(request, run, f"{run.removed:,} of {run.matched:,}"),
        outcome=cleanup_badge(run.current_status),
    )


@dataclass(frozen=True)
class FailureRow:
    """A failed answer."""

    asked: Text
    chat_session: Text
    agent: str
    outcome: SafeString
    error: str  # empty for users who may not read it


def _failures(request: HttpRequest) -> list[FailureRow]:
    """Return the newest failed answers, with errors for users who may read transcripts."""
    failed = AgentRun.objects.filter(status=RunStatus.FAILED)
    newest = failed.select_related("agent").order_by("-created_at", "-id")
    shows_errors = may_read_transcripts(request)
    sessions = sessions_with_opening() if shows_errors else Session.objects.only("name")
    newest = newest.prefetch_related(Prefetch("session", sessions))
    columns = ("status", "error", "created_at", "session", "agent__name")
    runs = list(newest.only(*columns)[:NEWEST])
    if shows_errors and any(run.error or run.session.opening for run in runs):  # type: ignore[attr-defined]
        record_list_reading(cast("User", request.user), via="dashboard", query="")
    return [
        FailureRow(
            asked=link_if_allowed(request, run, short_time(run.created_at)),
            chat_session=link_if_allowed(request, run.session, session_title(run.session)),
            agent=run.agent.name if run.agent else "-",
            outcome=badge(run.get_status_display(), OUTCOMES[RunStatus.FAILED]),
            error=run.public_error if shows_errors else "",
        )
        for run in runs
    ]
