"""`manage.py empty_trash`: deletes what has been in anybody's trash for TRASH_DAYS.

Workers do this by themselves; without them, run it from cron.
"""

from typing import Any

from django.core.management.base import BaseCommand

from agents_app import chats


class Command(BaseCommand):
    """Deletes expired chats, in batches."""

    help = "Delete the chats that have been in the trash for TRASH_DAYS."

    def handle(self, **options: Any) -> None:
        count = chats.empty_trash(trashed_before=chats.trash_expiry())
        self.stdout.write(f"Deleted {count} chat{'' if count == 1 else 's'} for good.")
