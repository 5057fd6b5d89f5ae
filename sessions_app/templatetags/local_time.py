"""A template filter for times; Django's `date` fails at the ends of the calendar."""

from datetime import datetime

from django import template
from django.utils.formats import date_format

from sessions_app.time_conversion import local_time

register = template.Library()


@register.filter
def local(moment: datetime, form: str = "DATETIME_FORMAT") -> str:
    """The moment in the current time zone, formatted as by the `date` filter."""
    return date_format(local_time(moment), form)
