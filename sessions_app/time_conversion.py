"""Conversion to the local time zone that also works at both ends of the calendar.

Other systems write 0001-01-01 for "never" and 9999-12-31 for "forever". Converted to the local
time zone, such a time may be out of range.
"""

from datetime import datetime

from django.utils import timezone


def local_time(moment: datetime) -> datetime:
    """The moment in the current time zone, or unchanged if it would be out of range."""
    try:
        return timezone.localtime(moment)
    except OverflowError:
        return moment
