"""The log of who has read what was said, and the rule for what counts as reading it.

To read is to be shown a text from a session, whole or in part: of a message, wherever it is quoted
(the conversation, a message's own page, a session's first words in the list, the matching words of
a search, feedback on an answer, an export with transcripts), or of a run: what it wrote, and its
error, which may quote either. Names, numbers, times and outcomes, what staff write in a review, and
the reasons that users give for their feedback are not what was said.

Each of these texts is shown to those only who have the permission `read_transcripts`, besides what
the page itself needs. And each reading is recorded: of a page, with its session; of an export, with
every session whose messages are in it; of a list that shows such texts, once per request, with what
it was searched for and filtered by.
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
    """Record that `user` has been shown a list with such texts; `query` is its query string."""
    TranscriptReading.objects.create(user=user, username=user.get_username(), via=via, query=query)
