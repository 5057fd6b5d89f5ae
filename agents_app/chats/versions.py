"""Versions of a chat's messages and answers: which of them are on the chosen line.

A chat's rows are ordered by position. Of the versions of a question or an answer, one is on the
chosen line, which is what pages show and models are sent. The others are set aside, each with all
that followed it: the rows are marked with the version's head, which is the id of the user's
message, of the run that was to write the answer or, for an imported answer, of its first row. Rows
further down that had been set aside earlier keep their own mark, and come back as they were left.

The caller has locked the session's row.
"""

from uuid import UUID

from django.db.models import Q

from agents_app.chats.errors import VersionUnavailable
from agents_app.models import AgentRun
from sessions_app.models import Message, Session
from sessions_app.querysets import MessageQuerySet
from sessions_app.writing import append_messages


def set_aside(chat_session: Session, head: UUID, *, start: int, end: int | None = None) -> None:
    """Take a version off the chosen line: its rows and all that follow, up to `end`."""
    rows = _line(chat_session).filter(position__gte=start)
    if end is not None:
        rows = rows.filter(position__lt=end)
    rows.update(set_aside_with=head)


def set_answer_aside(question: Message) -> None:
    """Take the answer of a question off the chosen line, with all that follows."""
    head = _answer_head(question)
    if head is not None:
        set_aside(question.session, head, start=question.position + 1)


def choose(chat_session: Session, head: UUID) -> None:
    """Bring a version back to the chosen line, in place of the one there now.

    Raises VersionUnavailable if it is not a version of anything on the chosen line.
    """
    run = chat_session.runs.select_related("message", "session").filter(pk=head).first()
    current, start = _place_of(chat_session, head, run)
    if current == head:
        return
    aside = chat_session.messages.filter(set_aside_with=head)
    has_text = run is not None and not run.is_active and bool(run.text.strip())
    if current is None or not (has_text or aside.exists()):
        raise VersionUnavailable("The chat has changed since. Reload the page.")
    set_aside(chat_session, current, start=start)
    if not aside.update(set_aside_with=None) and run is not None:
        _store_text(run)


def _place_of(chat_session: Session, head: UUID, run: AgentRun | None) -> tuple[UUID | None, int]:
    """The head and the start of the chosen version, which this one would replace."""
    if run is not None:
        question: Message | None = run.message
    else:
        row = chat_session.messages.filter(pk=head).first()
        if row is None:
            return None, 0
        if row.role == Message.Role.USER:
            versions = Q(pk=row.version_of or row.pk) | Q(version_of=row.version_of or row.pk)
            current = _line(chat_session).filter(versions).first()
            return (current.pk, current.position) if current else (None, 0)
        # An imported answer directly follows its question.
        earlier = chat_session.messages.filter(position__lt=row.position)
        question = earlier.order_by("position").last()
    if question is None or question.role != Message.Role.USER or question.set_aside_with:
        return None, 0
    return _answer_head(question), question.position + 1


def _answer_head(question: Message) -> UUID | None:
    """The head of the answer that the chosen line has for a question."""
    later = _line(question.session).filter(position__gt=question.position)
    following = later.order_by("position").first()
    if following is not None and following.role != Message.Role.USER:
        return following.run_id or following.pk
    # A run without an answer: the last one before the chat continued.
    runs = AgentRun.objects.filter(message=question)
    if following is not None:
        first = following.version_of or following.pk
        runs = runs.filter(created_at__lt=Message.objects.filter(pk=first).values("created_at"))
    return runs.order_by("created_at", "pk").values_list("pk", flat=True).last()


def _store_text(run: AgentRun) -> None:
    """Store the text of a run that ended early as a message, which the chat now continues from."""
    message = Message(role=Message.Role.ASSISTANT, text_content=run.text, run=run)
    message.session, message.agent = run.session, run.agent
    message.user_id = run.user_id
    append_messages([message], touch=False)
    AgentRun.objects.filter(pk=run.pk).update(text="")


def _line(chat_session: Session) -> MessageQuerySet:
    return Message.objects.chosen().filter(session=chat_session)
