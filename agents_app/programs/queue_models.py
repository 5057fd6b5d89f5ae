"""The queue of messages that wait while their session is busy.

Imported from agents_app.models, where Django looks for models.
"""

from django.db import models

from sessions_app.models import Session


class Ticket(models.Model):
    """A place in a session's queue, as in a ticket lock.

    A program's message takes one while it waits for the session's active run to end. Tickets are
    served in order of id. An expired one belongs to a request that was aborted.
    """

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "tickets"

    def __str__(self) -> str:
        return f"Ticket {self.pk}"
