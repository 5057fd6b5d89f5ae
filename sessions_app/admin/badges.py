"""Badges: a status as a word on a coloured background. Colour is never the only indication."""

from typing import Literal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions_app.models import CleanupRun
from sessions_app.run_statuses import RunStatus

Kind = Literal["good", "bad", "warn", "neutral"]

_CLEANUPS: dict[str, Kind] = {
    CleanupRun.Status.DONE: "good",
    CleanupRun.Status.FAILED: "bad",
    CleanupRun.Status.INTERRUPTED: "bad",
    CleanupRun.Status.PARTIAL: "warn",
}
# How the latest answer of a session ended, by the run's status.
OUTCOMES: dict[str, Kind] = {
    RunStatus.DONE: "good",
    RunStatus.FAILED: "bad",
    RunStatus.INTERRUPTED: "bad",
    RunStatus.STOPPED: "warn",
}


def badge(text: object, kind: Kind = "neutral") -> SafeString:
    """Return the text as a badge."""
    return format_html('<span class="badge badge-{}">{}</span>', kind, text)


def outcome_badge(status: str) -> SafeString:
    """Return a badge for an answer's outcome, or for an answer that is being written."""
    return badge(RunStatus(status).label, OUTCOMES.get(status, "neutral"))


def cleanup_badge(status: str) -> SafeString:
    """Return a badge for a cleanup's status."""
    return badge(CleanupRun.Status(status).label, _CLEANUPS.get(status, "neutral"))
