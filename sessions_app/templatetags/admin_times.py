"""A template filter for times in the admin."""

from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from sessions_app.admin.shared import time_with_seconds

register = template.Library()


@register.filter
def as_time(moment: datetime) -> SafeString:
    """The moment in the current time zone; pointing at it shows the seconds too."""
    return time_with_seconds(moment)
