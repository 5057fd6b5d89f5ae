"""What the chat pages show: a person's chats, and a chat turn by turn. Only reads.

Every page takes the same few queries, however many chats there are and however long they
have become.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Left

from agents_app.models import AgentRun
from agents_app.rendering import markdown, words
from agents_app.tool_entries import tool_entries, tool_name
from sessions_app.models import Message, Session
from sessions_app.querysets import SessionQuerySet
from sessions_app.text import encodable, json_text

CHATS_PER_PAGE = 30
MESSAGES_PER_PAGE = 50
PREVIEW_LENGTH = 200
SAID = [Message.Role.USER, Message.Role.ASSISTANT]


@dataclass(frozen=True)
class ChatList:
    """One page of a person's chats."""

    chats: list[Session]
    number: int
    has_next: bool


@dataclass(frozen=True)
class Details:
    """Something of a message that is folded up: what a tool was asked, or answered."""

    summary: str
    text: str


@dataclass(frozen=True)
class Entry:
    """A message, as it is shown: its text, and what stands before and after it."""

    message: Message
    before: list[Details]
    after: list[Details]

    @property
    def html(self) -> str:
        """What the agent said; nothing for tools and the system."""
        said = self.message.role == Message.Role.ASSISTANT
        return markdown(self.message.text_content) if said else ""


@dataclass
class Turn:
    """What a person asked, and what came of it.

    The first turn of a page may have no question: it stands on the page before.
    """

    question: Message | None = None
    answer: list[Entry] = field(default_factory=list)
    run: AgentRun | None = None
    is_last: bool = False

    @property
    def status(self) -> str:
        return self.run.status if self.run else ""

    @property
    def is_active(self) -> bool:
        return self.status in {AgentRun.Status.PENDING, AgentRun.Status.RUNNING}

    @property
    def seems_unanswered(self) -> bool:
        """Whether the run has ended well, and yet there is nothing to show for it."""
        ended = self.status in {AgentRun.Status.DONE, AgentRun.Status.STOPPED}
        return self.is_last and ended and not self.answer and not self.partial_text

    @property
    def has_failed(self) -> bool:
        return self.status in {AgentRun.Status.FAILED, AgentRun.Status.INTERRUPTED}

    @property
    def can_be_retried(self) -> bool:
        return self.has_failed and self.is_last and not self.answer

    @property
    def error(self) -> str:
        """Why there is no answer."""
        return self.run.error if self.run else ""

    @property
    def partial_text(self) -> str:
        """What had come of an answer that was not stored as a message."""
        ended_early = self.has_failed or self.status == AgentRun.Status.STOPPED
        if self.run is None or not ended_early:
            return ""
        said = any(entry.message.role == Message.Role.ASSISTANT for entry in self.answer)
        return "" if said else self.run.text

    @property
    def partial_html(self) -> str:
        return markdown(self.partial_text)

    @property
    def html_so_far(self) -> str:
        """What has come of an answer that is being written."""
        return markdown(self.run.text) if self.run else ""


@dataclass(frozen=True)
class Transcript:
    """A stretch of a chat."""

    turns: list[Turn]
    older: int | None  # the position before which there is more

    @property
    def active_run(self) -> AgentRun | None:
        return next((turn.run for turn in self.turns if turn.is_active), None)


def chats_of(user: User | AnonymousUser, *, search: str = "", page: int = 1) -> ChatList:
    """The person's chats, the last used first. One query.

    Without those that nobody started: what a cleanup may remove is no chat to go back to.
    """
    own = Session.objects.for_user(user)
    chats = own.exclude(pk__in=own.removable())
    if search:
        chats = _matching(chats, search)
    start = (page - 1) * CHATS_PER_PAGE
    rows: list[Any] = list(
        chats.select_related("agent")
        .annotate(preview=_last_words(), answering=_has_active_run())
        .order_by("-updated_at", "pk")[start : start + CHATS_PER_PAGE + 1]
    )
    for row in rows:
        row.preview = words(row.preview or "")
    return ChatList(rows[:CHATS_PER_PAGE], page, has_next=len(rows) > CHATS_PER_PAGE)


def transcript_of(chat_session: Session, *, before: int | None = None) -> Transcript:
    """The chat's last messages, or the last ones before a position. Two queries."""
    transcript = _read(chat_session, before)
    if transcript.turns and transcript.turns[-1].seems_unanswered:
        # The run ended after the messages had been read; now its answer is there as well.
        transcript = _read(chat_session, before)
    return transcript


def turn_of(run: AgentRun) -> Turn:
    """The turn of one run: its message, and what came of it.

    One query; none while the run is active, since there is no answer yet.
    """
    turn = Turn(run.message, run=run, is_last=True)
    if run.is_active:
        return turn
    later = _shown().filter(session=run.session_id, position__gt=run.message.position)
    following = list(later.order_by("position")[:MESSAGES_PER_PAGE])
    for message in following:
        if message.role == Message.Role.USER:
            turn.is_last = False
            break
        turn.answer.append(_entry(message))
    return turn


def _matching(chats: SessionQuerySet, search: str) -> SessionQuerySet:
    said = Message.objects.filter(
        session=OuterRef("pk"), role__in=SAID, text_content__icontains=search
    )
    return chats.filter(Q(name__icontains=search) | Exists(said))


def _last_words() -> Subquery:
    said = Message.objects.filter(session=OuterRef("pk"), role__in=SAID).exclude(text_content="")
    return Subquery(
        said.order_by("-position").values(start=Left("text_content", PREVIEW_LENGTH))[:1]
    )


def _has_active_run() -> Exists:
    return Exists(AgentRun.objects.active().filter(session=OuterRef("pk")))


def _read(chat_session: Session, before: int | None) -> Transcript:
    messages = _shown().filter(session=chat_session)
    if before is not None:
        messages = messages.filter(position__lt=before)
    rows = list(messages.order_by("-position")[: MESSAGES_PER_PAGE + 1])
    page = rows[:MESSAGES_PER_PAGE][::-1]
    turns = _turns(page)
    if turns and before is None:
        turns[-1].is_last = True
    return Transcript(turns, page[0].position if len(rows) > MESSAGES_PER_PAGE else None)


def _shown() -> Any:
    return Message.objects.select_related("agent").defer(
        "raw_payload", "context", "channel_payload", "model_message", "extra"
    )


def _turns(messages: Iterable[Message]) -> list[Turn]:
    turns: list[Turn] = []
    for message in messages:
        if message.role == Message.Role.USER:
            turns.append(Turn(message))
            continue
        if not turns:
            turns.append(Turn())
        turns[-1].answer.append(_entry(message))
    _add_latest_runs(turns)
    return turns


def _add_latest_runs(turns: list[Turn]) -> None:
    """A question that was retried has several runs; the last one counts."""
    asked = {turn.question.pk: turn for turn in turns if turn.question}
    for run in (
        AgentRun.objects.filter(message__in=asked)
        .select_related("agent")
        .order_by("created_at", "pk")
    ):
        asked[run.message_id].run = run


def _entry(message: Message) -> Entry:
    if message.role == Message.Role.SYSTEM:
        return Entry(message, [Details("Instructions to the agent", message.text_content)], [])
    tools = [
        Details(f"{heading} {_tool_names(value)}".strip(), _as_text(value))
        for heading, value in [
            ("Used a tool:", message.tool_calls),
            ("Tool result:", message.tool_outputs),
        ]
        if value
    ]
    if message.role == Message.Role.TOOL and message.text_content:
        tools.append(Details("Tool result", message.text_content))
    # Automagik stores calls and results with the answer that rests on them. Calls without
    # results are what the agent went on to do after it had said this.
    return Entry(message, tools, []) if message.tool_outputs else Entry(message, [], tools)


def _tool_names(column: object) -> str:
    return encodable(", ".join(filter(None, map(tool_name, tool_entries(column)))))


def _as_text(value: object) -> str:
    return encodable(value) if isinstance(value, str) else json_text(value)
