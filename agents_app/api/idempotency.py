"""The Idempotency-Key header, which identifies repeated requests."""

import uuid
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from ninja import Header

from agents_app.api.auth import key_of

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="A request repeated with the same key returns the result of the first one.",
    ),
]


def message_id(request: HttpRequest, idempotency_key: str | None) -> UUID:
    """The id for a request's message: the same if it is repeated with the same key."""
    if not idempotency_key:
        return uuid.uuid4()
    return uuid.uuid5(key_of(request).pk, idempotency_key)
