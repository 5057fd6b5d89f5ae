"""Users as other systems know them: by original id, e-mail address or phone number."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from agents_app.models import ExternalUser, ImportedUser
from sessions_app.storable import is_storable, parse_id

_LARGEST_ID = 2**31 - 1


class UserNotFound(Exception):
    """There is no such user."""


class InvalidEmail(Exception):
    """A new user cannot have this e-mail address."""


@dataclass(frozen=True)
class UserDescription:
    """What a channel says about the person that it acts for."""

    email: str = ""
    phone_number: str = ""
    data: dict[str, Any] | None = None


def find_user(reference: str) -> User:
    """The oldest user with this id, original id, e-mail address or phone number.

    Raises UserNotFound.
    """
    text = reference.strip()
    if not is_storable(text):
        raise UserNotFound(f"There is no user {text}.")
    user_id = parse_id(text, largest=_LARGEST_ID)
    by_id = None if user_id is None else User.objects.filter(pk=user_id).first()
    if by_id is not None:
        return by_id
    external = ExternalUser.objects.filter(Q(original_id=text) | Q(phone_number=text))
    found = User.objects.filter(pk__in=external.values("user")).order_by("pk").first()
    if found is None and "@" in text:
        found = _with_email(text).first()
    if found is None:
        raise UserNotFound(f"There is no user {text}.")
    return found


def find_described(description: UserDescription) -> User | None:
    """The user with this e-mail address or else this phone number."""
    found = _with_email(description.email).first() if description.email else None
    if found is None and description.phone_number:
        external = ExternalUser.objects.filter(phone_number=description.phone_number)
        found = User.objects.filter(pk__in=external.values("user")).order_by("pk").first()
    return found


def create_described(description: UserDescription) -> User | None:
    """Create the described user; returns None if another request has just created them.

    Nobody can log in as this user. Raises InvalidEmail.
    """
    if description.email:
        try:
            validate_email(description.email)
        except ValidationError:
            raise InvalidEmail("The user's email is not an e-mail address.") from None
    # The first name may be taken by a user with another address.
    for username in (description.email or description.phone_number, f"channel-{uuid4()}"):
        if find_described(description) is not None:
            return None
        with suppress(IntegrityError), transaction.atomic():
            user = User.objects.create(
                username=username, email=description.email, password=make_password(None)
            )
            ImportedUser.objects.create(user=user)
            ExternalUser.objects.create(
                user=user, phone_number=description.phone_number or None, data=description.data
            )
            return user
    return None


def _with_email(email: str) -> QuerySet[User]:
    """The users whose address it is, the oldest first.

    A visitor can sign up with anybody's address, and must not get the owner's messages: until it
    is confirmed, it counts for nothing. What staff, imports and channels give is trusted.
    """
    claims = EmailAddress.objects.filter(
        user=OuterRef("pk"), email__iexact=email, primary=True, verified=False
    )
    return User.objects.filter(~Exists(claims), email__iexact=email).order_by("pk")
