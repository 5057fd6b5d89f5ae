"""The columns of the session list. Their data is read only for the rows of one page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator

from sessions_app.admin.badges import Kind, badge, outcome_badge
from sessions_app.admin.formatting import short_time
from sessions_app.admin.message_search_filter import Hit, read_hits
from sessions_app.admin.shared import current_user
from sessions_app.admin.transcript_access import may_read_transcripts
from sessions_app.cleanup.keep_reasons import keep_reasons
from sessions_app.models import Review, Session
from sessions_app.querysets import NAME_START
from sessions_app.review.reading_log import record_list_reading

# Characters; the stylesheet truncates what does not fit, and the title has the whole text.
_OPENING = 120
_SURELY_SHOWN = 20


@dataclass(frozen=True)
class RowFacts:
    """What a row shows in addition to the session's own columns."""

    message_count: int = 0
    opening: str = ""
    # From the review.
    verdict: str = ""
    flagged: bool = False
    reviewed: bool = False
    # Why cleanups keep it; None for a session that no longer exists.
    reasons: list[str] | None = None
    # Where the list's search matches.
    hit: Hit | None = None


def prepare(rows: Iterable[Session], request: HttpRequest, changelist: ChangeList) -> list[Session]:
    """Add RowFacts to the rows of a page; the number of queries does not depend on the rows.

    Records the list as read if it quotes transcripts.
    """
    chat_sessions = list(rows)
    facts = read_facts(chat_sessions, request)
    hits = read_hits(changelist, chat_sessions)
    for chat_session in chat_sessions:
        own = facts.get(chat_session.pk, RowFacts())
        own = replace(own, hit=hits.get(chat_session.pk))
        chat_session.list_facts = own  # type: ignore[attr-defined]
    if hits or any(own.opening for own in facts.values()):
        query = request.GET.urlencode()
        record_list_reading(current_user(request), via="list of sessions", query=query)
    return chat_sessions


def read_facts(chat_sessions: Sequence[Session], request: HttpRequest) -> dict[UUID, RowFacts]:
    """Return the facts of these sessions by id; two queries."""
    if not chat_sessions:
        return {}
    sessions = Session.objects.filter(pk__in=[chat_session.pk for chat_session in chat_sessions])
    columns = ["pk", "message_count", "review__verdict", "review__flagged", "review__reviewed_at"]
    if may_read_transcripts(request):
        sessions = sessions.with_opening()
        columns.append("opening")
    reasons = keep_reasons(chat_sessions)
    return {
        row["pk"]: RowFacts(
            message_count=row["message_count"],
            opening=Truncator(" ".join(row.get("opening", "").split())).chars(_OPENING),
            verdict=row["review__verdict"] or "",
            flagged=bool(row["review__flagged"]),
            reviewed=row["review__reviewed_at"] is not None,
            reasons=reasons.get(row["pk"]),
        )
        for row in sessions.with_message_count().order_by().values(*columns)
    }


def _facts(chat_session: Session) -> RowFacts:
    # Rows that are listed in the response to an action are not prepared.
    facts: RowFacts = getattr(chat_session, "list_facts", RowFacts())
    return facts


def _icon(kind: Kind, icon: str, text: str) -> str:
    return format_html(
        '<span class="badge badge-{}" title="{}"><span aria-hidden="true">{}</span>'
        '<span class="visually-hidden">{}</span></span>',
        *(kind, text, icon, text),
    )


class SessionColumns:
    """Display methods for the sessions' admin."""

    @admin.display(description="name", ordering=NAME_START)
    def shown_name(self, chat_session: Session) -> str:
        """Return the name; a generated one follows the start of the user's first message."""
        name = chat_session.name or "(no name)"
        opening = _facts(chat_session).opening
        if not opening and len(name) <= _SURELY_SHOWN:
            return name
        if not opening:
            return format_html('<span class="name" title="{}">{}</span>', name, name)
        return format_html(
            '<span class="opening" title="{}">{}</span> '
            '<span class="name with-opening" title="{}">{}</span>',
            *(opening, opening, name, name),
        )

    @admin.display(description="platform", empty_value="-")
    def platform_badge(self, chat_session: Session) -> str:
        return badge(chat_session.platform) if chat_session.platform else ""

    @admin.display(description="messages")
    def message_count(self, chat_session: Session) -> str:
        return f"{_facts(chat_session).message_count:,}"

    @admin.display(description="last answer", empty_value="-")
    def outcome(self, chat_session: Session) -> str:
        status = chat_session.last_run_status
        return outcome_badge(status) if status else ""

    @admin.display(description="created", ordering="created_at")
    def created(self, chat_session: Session) -> str:
        return short_time(chat_session.created_at)

    @admin.display(description="last activity", ordering="updated_at")
    def last_activity(self, chat_session: Session) -> str:
        return short_time(chat_session.updated_at)

    @admin.display(description="removable", empty_value="-")
    def removable(self, chat_session: Session) -> str:
        """Return Yes, or why cleanups keep it."""
        reasons = _facts(chat_session).reasons
        if reasons is None:
            return ""
        if not reasons:
            return badge("Yes")
        text = "; ".join(reasons)
        return format_html('<span class="reasons" title="{}">{}</span>', text, text)

    @admin.display(description="review", empty_value="-")
    def review_marks(self, chat_session: Session) -> str:
        facts = _facts(chat_session)
        marks: list[str] = []
        if facts.verdict:
            marks.append(
                badge(_verdict_label(facts.verdict), "good" if facts.verdict == "good" else "bad")
            )
        if facts.flagged:
            marks.append(_icon("warn", "⚑", "Flagged"))
        if facts.reviewed:
            marks.append(_icon("good", "✓", "Reviewed"))
        return format_html_join(" ", "{}", ((mark,) for mark in marks))


def _verdict_label(verdict: str) -> str:
    labels: dict[Any, Any] = dict(Review.Verdict.choices)
    return str(labels.get(verdict, verdict))
