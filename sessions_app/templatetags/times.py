"""Template filters for times; in place of Django's `date`, which fails where the calendar ends."""

from datetime import datetime

from django import template
from django.utils.formats import date_format

from sessions_app.times import local_time

register = template.Library()


@register.filter
def local(moment: datetime, form: str = "DATETIME_FORMAT") -> str:
    """The moment in the current time zone, as the `date` filter writes it."""
    return date_format(local_time(moment), form)
