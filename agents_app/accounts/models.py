"""The models of accounts: preferences, names in other systems, and API keys.

Imported from agents_app.models, where Django looks for models.
"""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from agents_app.querysets import ApiKeyQuerySet


class ImportedUser(models.Model):
    """Marks a user that was created by an import, and that nobody logs in as."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )

    class Meta:
        db_table = "imported_users"

    def __str__(self) -> str:
        return f"Import of user {self.pk}"


class Theme(models.TextChoices):
    """The colour schemes of the pages; the empty one follows the system."""

    SYSTEM = "", "System"
    LIGHT = "light", "Light"
    DARK = "dark", "Dark"


class Preferences(models.Model):
    """A user's own settings; a user without a row has the defaults."""

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


class Scope(models.TextChoices):
    """What an API key permits."""

    CHAT = "chat", "Chat: run agents, and create, rename and delete sessions"
    READ = "read", "Read: agents, sessions and messages"
    CLEANUP = "cleanup", "Clean up sessions (with the permission)"
    USERS = "users", "Look up and act for other users (with the permission)"


class ApiKey(models.Model):
    """A key with which a program acts as a user. The key itself is never stored."""

    Scope = Scope

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(blank=True, default="")
    prefix = models.CharField(editable=False, help_text="How the key begins.")
    digest = models.CharField(unique=True, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"
        permissions = [("act_for_users", "Can act for other users through the API")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)" if self.name else f"{self.prefix}…"

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class ApiKeyRequests(models.Model):
    """How many requests a key has made in its latest time window (agents_app.api.throttling)."""

    key = models.OneToOneField(
        ApiKey, on_delete=models.CASCADE, primary_key=True, related_name="requests"
    )
    time_window = models.BigIntegerField()
    count = models.PositiveIntegerField()

    class Meta:
        db_table = "api_key_requests"

    def __str__(self) -> str:
        return f"{self.count} requests of {self.pk}"
