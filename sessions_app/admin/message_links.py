"""Links to a session and to a message on its page, and the titles of sessions."""

from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from sessions_app.admin.shared import RelatedLink, may_view
from sessions_app.admin.transcript_access import may_read_transcripts
from sessions_app.models import Message, Session

_LENGTH = 60  # characters


def sessions_with_opening() -> QuerySet[Session]:
    """Return sessions with the data that `session_title` shows, for prefetching."""
    return Session.objects.with_opening().only("name")


def session_title(chat_session: Session) -> str:
    """Return the start of the user's first message, or the name if a person chose it.

    Only for users who may read transcripts. Without sessions_with_opening(), always the name.
    """
    opening: str = getattr(chat_session, "opening", "")
    return " ".join(opening.split()) or str(chat_session)


def message_url(session_id: UUID, message_id: UUID, position: int) -> str:
    """Return the address of a message on its session's page."""
    page = reverse("admin:sessions_app_session_change", args=[session_id])
    return f"{page}?{urlencode({'message': message_id})}#m{position}"


def link_to_message(request: HttpRequest, message: Message, text: str, title: str = "") -> str:
    """Return a link to the message, or plain text for users who may not read it there."""
    if not (may_view(request, Session) and may_read_transcripts(request)):
        return text
    url = message_url(message.session_id, message.pk, message.position)
    return format_html('<a href="{}" title="{}">{}</a>', url, title, text)


class SessionLink(RelatedLink):
    """The session of a message, or of a row about one, as a link to the message on its page."""

    def __call__(self, row: Model) -> str:
        message: Message = row if isinstance(row, Message) else getattr(row, "message")  # noqa: B009
        if not may_read_transcripts(self.request):
            return super().__call__(row)
        chat_session: Session = getattr(row, self.field)
        title = session_title(chat_session)
        name = str(chat_session)
        both = title if title == name else f"{title} ({name})"
        return link_to_message(self.request, message, Truncator(title).chars(_LENGTH), both)
