"""The template tags and filters of the admin's pages."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import template
from django.contrib.admin.models import LogEntry
from django.utils.safestring import SafeString

from sessions_app.admin.badges import OUTCOMES, Kind
from sessions_app.admin.formatting import time_with_seconds
from sessions_app.admin.shared import may_view

register = template.Library()


@register.filter
def outcome_kind(status: str) -> Kind:
    """The kind of badge for how an answer ended, or that it has not ended."""
    return OUTCOMES.get(status, "neutral")


@register.filter
def as_time(moment: datetime) -> SafeString:
    """The moment in the current time zone; pointing at it shows the seconds too."""
    return time_with_seconds(moment)


@register.filter
def grouped(number: int) -> str:
    """The number with its thousands set apart: `20,419`."""
    return f"{number:,}"


@register.simple_tag(takes_context=True)
def url_of_entry(context: dict[str, Any], entry: LogEntry) -> str:
    """The page of the row that a log entry is about; empty if there is none for this user."""
    model = entry.content_type.model_class() if entry.content_type else None
    if entry.is_deletion() or model is None or not may_view(context["request"], model):
        return ""
    return entry.get_admin_url() or ""


@register.filter
def beside(cells: Iterable[Any], rows: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Each row's cells, which Django has rendered, with the row itself."""
    return list(zip(cells, rows, strict=True))
