"""What the commands that import say at the end."""

from django.template.defaultfilters import pluralize

from agents_app.automagik.loading import Imported
from sessions_app.models import Session


def summary(imported: Imported) -> str:
    """How much was imported, and how much of what is stored now a cleanup would remove."""
    counts = {
        "session": imported.sessions,
        "message": imported.messages,
        "user": imported.users,
        "agent": imported.agents,
    }
    tables = ", ".join(
        f"{_number(count.total, noun)} ({count.new:,} new)" for noun, count in counts.items()
    )
    removable = Session.objects.removable().count()
    hint = "; to see which: python manage.py cleanup_sessions --dry-run" if removable else "."
    return f"{tables}.\n{_number(removable, 'session')} can be removed{hint}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{pluralize(count)}"
