"""The log of who has read transcripts, and the rule for what counts as reading one.

Reading is being shown text from a session, in whole or in part: of a message, wherever it is
quoted (the conversation, the message's own page, the opening words in the list, the excerpts of a
search, feedback on an answer, an export with transcripts), or of a run: its output, or its error,
which may quote either. Names, numbers, times and outcomes do not count, nor do reviews and the
reasons that users give for their feedback.

Such text is shown only to users with the permission `read_transcripts`, in addition to what the
page itself requires. Every reading is recorded: of a page, with its session; of an export, with
every session whose messages it contains; of a list, once per request, with its search and filters.
"""

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


def record_list_reading(user: User, *, via: str, query: str) -> None:
    """Record that `user` has read texts in a list; `query` is its query string."""
    TranscriptReading.objects.create(user=user, username=user.get_username(), via=via, query=query)
