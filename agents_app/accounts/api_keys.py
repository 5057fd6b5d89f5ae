"""Creates, finds and revokes API keys. Only a key's digest is stored."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from agents_app.models import ApiKey, Scope

KEY_PREFIX = "cs_"
_PREFIX_LENGTH = 11  # shown in lists to identify the key
NAME_LENGTH = 200
# The precision of "last used", which is not written for every request.
_LAST_USED_STEP = timedelta(minutes=1)


class InvalidKey(ValueError):
    """The key cannot be created; the text says why."""


def create_key(
    user: User,
    *,
    name: str = "",
    scopes: Collection[str] = (Scope.CHAT, Scope.READ),
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key for a user; returns its row and the key, which cannot be read again.

    Raises InvalidKey.
    """
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown:
        known = ", ".join(Scope.values)
        raise InvalidKey(f"There is no scope {unknown[0]!r}; the scopes are {known}.")
    if not scopes:
        raise InvalidKey("A key needs at least one scope.")
    if len(name) > NAME_LENGTH:
        raise InvalidKey(f"A name can have at most {NAME_LENGTH} characters.")
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidKey("The key would have expired already; choose a later time.")
    # 256 random bits cannot be guessed, so a plain digest is as safe as a slow one.
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    row = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=key[:_PREFIX_LENGTH],
        digest=_digest(key),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
    )
    return row, key


def find_key(key: str) -> ApiKey | None:
    """The valid key with its user, now recorded as used; None for any other."""
    row = ApiKey.objects.valid().select_related("user").filter(digest=_digest(key)).first()
    if row is not None and not _was_just_used(row):
        stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _LAST_USED_STEP)
        ApiKey.objects.filter(stale, pk=row.pk).update(last_used_at=Now())
    return row


def revoke_key(row: ApiKey) -> bool:
    """Revoke a key; False if it had been revoked already."""
    unrevoked = ApiKey.objects.filter(pk=row.pk, revoked_at=None)
    return bool(unrevoked.update(revoked_at=timezone.now()))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def _was_just_used(row: ApiKey) -> bool:
    return row.last_used_at is not None and row.last_used_at >= timezone.now() - _LAST_USED_STEP
