"""The models of reviewing: reviews, the logs of readings and exports, and saved filters."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Review(models.Model):
    """The opinion of staff on a whole session. A session with a review is not removable."""

    class Verdict(models.TextChoices):
        GOOD = "good"
        BAD = "bad"

    session = models.OneToOneField(
        "sessions_app.Session", on_delete=models.CASCADE, related_name="review"
    )
    verdict = models.CharField(choices=Verdict, blank=True, default="")
    note = models.TextField(blank=True, default="")
    flagged = models.BooleanField(default=False)
    reviewed_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        db_table = "reviews"
        indexes = [
            # The list's filter on flagged sessions.
            models.Index(fields=["session"], name="reviews_flagged", condition=Q(flagged=True)),
        ]

    def __str__(self) -> str:
        return f"Review of {self.session_id}"


class TranscriptReading(models.Model):
    """That a member of staff read what was said: see sessions_app.review.reading_log.

    The session is not a foreign key: a reading outlives it, and does not keep it from a cleanup.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    username = models.CharField()
    # None for a list, which shows parts of many sessions.
    session_id = models.UUIDField(null=True)
    # Where it was read: on its page, in an export, in the list of messages.
    via = models.CharField()
    # The search and the filters of a list, as in its query string.
    query = models.CharField(blank=True, default="", db_default="")
    read_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "transcript_readings"
        indexes = [
            # The log, newest first.
            models.Index(fields=["-read_at", "-id"], name="readings_newest"),
            # Who has read one session.
            models.Index(fields=["session_id"], name="readings_by_session"),
        ]

    def __str__(self) -> str:
        return f"{self.username} read {self.session_id or f'the {self.via}'}"


class Export(models.Model):
    """That a member of staff exported chat sessions.

    The log of readings has the sessions whose transcripts were exported.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    username = models.CharField()
    # The sessions in words: how many were ticked, and the list's filters.
    selection = models.CharField()
    format = models.CharField()
    with_transcripts = models.BooleanField()
    # How many are in the file, or were in it when the download ended early.
    exported = models.PositiveIntegerField("sessions", default=0)
    started_at = models.DateTimeField(default=timezone.now)
    # None while it is running, and if it ended early.
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "exports"
        default_permissions = ()  # viewed with the permission to view the log of readings
        indexes = [
            # The log, newest first.
            models.Index(fields=["-started_at", "-id"], name="exports_newest"),
        ]

    def __str__(self) -> str:
        return f"Export {self.pk}"


class SavedFilter(models.Model):
    """A filter of the list of sessions that a member of staff has named."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_filters"
    )
    name = models.CharField(max_length=80)
    query = models.CharField(help_text="The list's query string.")

    class Meta:
        db_table = "saved_filters"
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="saved_filters_one_per_name"),
        ]

    def __str__(self) -> str:
        return self.name
