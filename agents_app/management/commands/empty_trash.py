"""`manage.py empty_trash`: deletes what has been in anybody's trash for TRASH_DAYS.

Workers do this on their own; without them, run it from cron.
"""

from typing import Any

from django.utils.translation import ngettext

from agents_app.chats import trash
from sessions_app.management.operator_command import OperatorCommand


class Command(OperatorCommand):
    """Deletes expired chats, in batches."""

    help = "Delete the chats that have been in the trash for TRASH_DAYS."

    def handle(self, **options: Any) -> None:
        count = trash.empty_trash(trashed_before=trash.trash_expiry())
        chats = ngettext("%d chat", "%d chats", count) % count
        self.stdout.write(f"Deleted {chats} for good.")
