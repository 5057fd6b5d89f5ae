"""Models about users: preferences, imports, names elsewhere; and tables of the cache and of queues.

Imported from agents_app.models, where Django looks for models.
"""

from django.conf import settings
from django.db import models

from sessions_app.models import Session


class ImportedUser(models.Model):
    """Marks a user that an import has created, and that nobody logs in as."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )

    class Meta:
        db_table = "imported_users"

    def __str__(self) -> str:
        return f"Import of user {self.pk}"


class Theme(models.TextChoices):
    """The looks of the pages; the empty one is the system's."""

    SYSTEM = "", "System"
    LIGHT = "light", "Light"
    DARK = "dark", "Dark"


class Preferences(models.Model):
    """What a user has chosen for themselves; a user without a row has chosen nothing."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="preferences",
    )
    display_name = models.CharField(blank=True, default="")
    theme = models.CharField(blank=True, default=Theme.SYSTEM, choices=Theme)

    class Meta:
        db_table = "preferences"
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"Preferences of user {self.pk}"


class CacheEntry(models.Model):
    """The table of Django's database cache; a model, so that a migration makes it."""

    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "cache_entries"

    def __str__(self) -> str:
        return self.cache_key


class ExternalUser(models.Model):
    """How another system knows a user: Automagik, or a channel such as WhatsApp."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="external_users"
    )
    original_id = models.CharField(null=True, blank=True, unique=True)
    phone_number = models.CharField(null=True, blank=True, db_index=True)
    data = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "external_users"

    def __str__(self) -> str:
        return self.original_id or self.phone_number or str(self.pk)


class Ticket(models.Model):
    """The place of a program's message that waits for its session's active run to end.

    The session's tickets are served in the order of their ids. One that has expired belongs to
    a request that is gone.
    """

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "tickets"

    def __str__(self) -> str:
        return f"Ticket {self.pk}"
