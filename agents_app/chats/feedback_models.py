"""The model of feedback on answers.

Imported from agents_app.models, where Django looks for models.
"""

from django.conf import settings
from django.db import models
from django.utils import timezone

from sessions_app.models import Message, Session


class Feedback(models.Model):
    """What the user of a chat thinks of an answer."""

    message = models.OneToOneField(
        Message,
        on_delete=models.CASCADE,
        related_name="feedback",
        help_text="The answer's last message.",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    is_good = models.BooleanField()
    reason = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "feedback"
        verbose_name_plural = "feedback"
        indexes = [
            # The newest feedback, for reviewers.
            models.Index(fields=["-created_at", "-id"], name="feedback_newest"),
        ]

    def __str__(self) -> str:
        return "Good" if self.is_good else "Bad"

    @property
    def session(self) -> Session:
        return self.message.session
