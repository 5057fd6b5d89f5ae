"""Links in the admin's templates, for those who may follow them."""

from typing import Any

from django import template
from django.contrib.admin.models import LogEntry

from sessions_app.admin.shared import may_view

register = template.Library()


@register.simple_tag(takes_context=True)
def url_of_entry(context: dict[str, Any], entry: LogEntry) -> str:
    """The page of the row that a log entry is about; empty if there is none for this user."""
    model = entry.content_type.model_class() if entry.content_type else None
    if entry.is_deletion() or model is None or not may_view(context["request"], model):
        return ""
    return entry.get_admin_url() or ""
