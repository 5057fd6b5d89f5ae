"""Times as people read them.

Stored times may stand at the ends of the calendar: other systems write 0001-01-01 for "never"
and 9999-12-31 for "for ever". In the local time zone such a moment may not exist.
"""

from datetime import datetime

from django.utils import timezone


def local_time(moment: datetime) -> datetime:
    """The moment in the current time zone, or in its own where the calendar ends."""
    try:
        return timezone.localtime(moment)
    except OverflowError:
        return moment
