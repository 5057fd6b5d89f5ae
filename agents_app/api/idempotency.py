"""The Idempotency-Key header, by which a program's repeats of a request are recognised."""

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
        description="The same request with the same key is answered as the first one was.",
    ),
]


def message_id(request: HttpRequest, idempotency_key: str | None) -> UUID:
    """The same id for each repeat of a request, by which the repeat is recognised."""
    if not idempotency_key:
        return uuid.uuid4()
    return uuid.uuid5(key_of(request).pk, idempotency_key)
