"""The log of who has read which transcript."""

from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth.models import User

from sessions_app.models import TranscriptReading


def record_reading(user: User, session_ids: Iterable[UUID], *, via: str) -> None:
    """Record that `user` has read the transcripts of these sessions; `via` says where."""
    TranscriptReading.objects.bulk_create(
        TranscriptReading(user=user, username=user.get_username(), session_id=session_id, via=via)
        for session_id in session_ids
    )
