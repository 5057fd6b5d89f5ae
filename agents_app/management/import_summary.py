"""The summary that the import commands print."""

from django.utils.translation import ngettext

from agents_app.automagik.loading import ImportResult
from sessions_app.models import Session


def summary(result: ImportResult) -> str:
    """How much was imported, and how many of all stored sessions a cleanup would remove."""
    counts = [
        (result.sessions, ngettext("session", "sessions", result.sessions.total)),
        (result.messages, ngettext("message", "messages", result.messages.total)),
        (result.users, ngettext("user", "users", result.users.total)),
        (result.agents, ngettext("agent", "agents", result.agents.total)),
    ]
    tables = ", ".join(f"{count.total:,} {noun} ({count.new:,} new)" for count, noun in counts)
    removable = Session.objects.removable().count()
    noun = ngettext("session", "sessions", removable)
    hint = "; to see which: python manage.py cleanup_sessions --dry-run" if removable else "."
    return f"{tables}.\n{removable:,} {noun} can be removed{hint}"
