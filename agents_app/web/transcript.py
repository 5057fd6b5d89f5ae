"""What a chat's page shows: the transcript, turn by turn. Only reads.

Every page takes the same few queries, however long the chat is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Q, TextField, When
from django.db.models.functions import Cast

from agents_app.models import AgentRun
from agents_app.web.message_entries import MessageEntry, id_prefix, message_entry
from agents_app.web.rendering.markdown import markdown
from agents_app.web.turn_versions import Versions, read_versions
from sessions_app.models import Message, Session

MESSAGES_PER_PAGE = 50

# As both databases write JSON. In a message's own words the quotes would be escaped.
_HAS_REASONING = Q(role=Message.Role.ASSISTANT, model_json__contains='"part_kind": "thinking"')


@dataclass
class Turn:
    """A question and its answer, which can have several messages.

    The first turn of a page has no question if that is on the page before.
    """

    question: Message | None = None
    entries: list[MessageEntry] = field(default_factory=list)
    run: AgentRun | None = None
    is_last: bool = False
    question_versions: Versions | None = None
    answer_versions: Versions | None = None
    begins_context: bool = False  # the agent was not sent what is above it

    @property
    def session_id(self) -> UUID:
        message = self.question or self.entries[0].message
        return message.session_id

    @property
    def own_entries(self) -> list[MessageEntry]:
        """What its run has written; a run that continues an answer has written only a part."""
        runs = {None, self.run.pk} if self.run else {None}
        return [entry for entry in self.entries if entry.message.run_id in runs]

    @property
    def has_actions(self) -> bool:
        """Whether there is an answer to do something with, or one to ask for."""
        has_answer = bool(self.entries or self.run or self.is_last)
        return self.question is not None and has_answer

    @property
    def can_be_regenerated(self) -> bool:
        return self.is_last and self.question is not None and not self.is_active

    @property
    def can_be_retried(self) -> bool:
        return self.is_last and self.run is not None and self.run.can_be_retried(self._latest)

    @property
    def can_be_continued(self) -> bool:
        return self.is_last and self.run is not None and self.run.can_be_continued(self._latest)

    @property
    def written_by(self) -> str:
        """The name of the agent that has answered."""
        agents = [self.run and self.run.agent, *(entry.message.agent for entry in self.entries)]
        return next((agent.shown_name for agent in agents if agent), "")

    @property
    def written_at(self) -> datetime | None:
        if self.entries:
            return self.entries[-1].message.created_at
        return self.run.created_at if self.run else None

    @property
    def status(self) -> str:
        return self.run.status if self.run else ""

    @property
    def is_active(self) -> bool:
        return self.run is not None and self.run.is_active

    @property
    def queue_position(self) -> int | None:
        """How many runs have waited longer than its run; None if that does not wait. One query."""
        if self.run is None or not self.run.is_waiting:
            return None
        return AgentRun.objects.queue_position(self.run.pk)

    @property
    def is_answer_missing(self) -> bool:
        """Whether the run has ended without a failure, but none of its messages were read."""
        answered = self.run is not None and self.run.has_answered
        return self.is_last and answered and not self.own_entries and not self.partial_text

    @property
    def has_failed(self) -> bool:
        return self.run is not None and self.run.has_failed

    @property
    def is_truncated(self) -> bool:
        return self.run is not None and self.run.is_truncated

    @property
    def rated_entry(self) -> MessageEntry | None:
        """The message that feedback on the answer belongs to: its last one with a text."""
        said = (entry for entry in reversed(self.entries) if entry.message.text_content)
        return next((one for one in said if one.message.role == Message.Role.ASSISTANT), None)

    @property
    def error(self) -> str:
        """Why the run failed."""
        return self.run.public_error if self.run else ""

    @property
    def partial_text(self) -> str:
        """The text of a run that ended early, unless it was stored as a message."""
        ended_early = self.has_failed or self.status == AgentRun.Status.STOPPED
        if self.run is None or not ended_early:
            return ""
        is_stored = any(entry.message.role == Message.Role.ASSISTANT for entry in self.own_entries)
        return "" if is_stored else self.run.text

    @property
    def partial_html(self) -> str:
        return markdown(self.partial_text, id_prefix=self._id_prefix)

    @property
    def html_so_far(self) -> str:
        """The text of an active run."""
        return markdown(self.run.text, id_prefix=self._id_prefix) if self.run else ""

    @property
    def _id_prefix(self) -> str:
        return id_prefix(self._latest) if self._latest else ""

    @property
    def _latest(self) -> Message | None:
        return self.entries[-1].message if self.entries else self.question

    def add(self, message: Message) -> None:
        """Add the next message of the answer."""
        self.entries.append(message_entry(message, before=self._latest))


@dataclass(frozen=True)
class TranscriptPage:
    """A part of a chat's transcript."""

    turns: list[Turn]
    older_before: int | None = None  # the position before which there are more messages
    newer_after: int | None = None  # the position after which there are more messages

    @property
    def is_latest(self) -> bool:
        """Whether it has the chat's last message, after which the chat continues."""
        return self.newer_after is None

    @property
    def active_run(self) -> AgentRun | None:
        return next((turn.run for turn in self.turns if turn.is_active), None)


@dataclass(frozen=True)
class TranscriptSlice:
    """Which part of a transcript: its end, or what is before, after or around a position."""

    before: int | None = None
    after: int | None = None
    at: int | None = None
    length: int = MESSAGES_PER_PAGE


LATEST = TranscriptSlice()


def read_transcript(chat_session: Session, part: TranscriptSlice = LATEST) -> TranscriptPage:
    """A part of the chat's transcript. Six queries at most."""
    page = _read_page(chat_session, part)
    if page.turns and page.turns[-1].is_answer_missing:
        # The run ended after the messages had been read: now its answer can be read as well.
        page = _read_page(chat_session, part)
    return page


def read_turn(run: AgentRun, answer: list[Message] | None = None) -> Turn:
    """The turn of one run, without its versions.

    An answer that is not given takes one query; none while the run is active: it has no messages
    yet. A run that continues an answer takes another.
    """
    turn = Turn(run.message, run=run, is_last=True)
    if run.is_continuation:
        turn = Turn(read_question(run.message), run=run, is_last=True)
        answer = _following(run.session_id, turn.question.position if turn.question else 0)
    elif run.is_active:
        return turn
    elif answer is None:
        answer = _following(run.session_id, run.message.position)
    for message in answer:
        if message.role == Message.Role.USER:
            turn.is_last = False
            break
        turn.add(message)
    return turn


def read_turn_again(run: AgentRun) -> Turn:
    """The turn of a run that answers again, or another version of a message."""
    turn = read_turn(run)
    _add_versions([turn])
    return turn


def read_question(message: Message) -> Message | None:
    """The question of the turn that a message is in. One query."""
    line = messages_for_display().chosen().filter(session=message.session_id)
    earlier = line.filter(position__lte=message.position).order_by("-position")
    question: Message | None = earlier.filter(role=Message.Role.USER).first()
    return question


def read_raw_answer(question: Message) -> str:
    """What an agent has answered to a question, as it wrote it. Two queries at most."""
    texts = []
    for message in _following(question.session_id, question.position):
        if message.role == Message.Role.USER:
            break
        if message.role == Message.Role.ASSISTANT and message.text_content:
            texts.append(message.text_content)
    if not texts:  # what a run that ended early has left
        runs = question.runs.order_by("created_at", "pk")
        texts = [run.text for run in runs.reverse()[:1]]
    return "\n\n".join(texts)


def _following(session_id: UUID, position: int) -> list[Message]:
    later = messages_for_display().chosen().filter(session=session_id, position__gt=position)
    return list(later.order_by("position")[:MESSAGES_PER_PAGE])


def _read_page(chat_session: Session, part: TranscriptSlice) -> TranscriptPage:
    messages = messages_for_display().chosen().filter(session=chat_session)
    older: list[Message] = []
    newer: list[Message] = []
    has_older, has_newer = True, part.before is not None
    if part.after is not None:
        newer, has_newer = _nearest(messages.filter(position__gt=part.after), part.length)
    elif part.at is not None:
        half = part.length // 2
        older, has_older = _nearest(messages.filter(position__lt=part.at), -half)
        newer, has_newer = _nearest(messages.filter(position__gte=part.at), half)
    else:
        if part.before is not None:
            messages = messages.filter(position__lt=part.before)
        older, has_older = _nearest(messages, -part.length)
    page = older[::-1] + newer
    turns = _turns(page)
    if turns and not has_newer:
        turns[-1].is_last = True
    first, last = (page[0].position, page[-1].position) if page else (None, 0)
    context_from = _context_from(chat_session, turns, is_latest=not has_newer)
    _mark_context(turns, context_from, has_older=has_older)
    return TranscriptPage(turns, first if has_older else None, last if has_newer else None)


def _nearest(messages: Any, length: int) -> tuple[list[Message], bool]:
    """The first messages, or the last ones if negative, and whether there are more."""
    ordered = messages.order_by("position" if length > 0 else "-position")
    rows = list(ordered[: abs(length) + 1])
    return rows[: abs(length)], len(rows) > abs(length)


def messages_for_display() -> Any:
    """Messages of all versions, with what `message_entry` reads and without other long columns."""
    return (
        Message.objects.select_related("agent", "feedback")
        .alias(model_json=Cast("model_message", TextField()))
        .annotate(reasoning_in=Case(When(_HAS_REASONING, then=F("model_message"))))
        .without_payloads()
    )


def _turns(messages: Iterable[Message]) -> list[Turn]:
    turns: list[Turn] = []
    for message in messages:
        if message.role == Message.Role.USER:
            turns.append(Turn(message))
            continue
        if not turns:
            turns.append(Turn())
        turns[-1].add(message)
    _add_versions(turns)
    return turns


def _add_versions(turns: list[Turn]) -> None:
    """Set each turn's run and versions."""
    lines = [(turn.question, [entry.message for entry in turn.entries]) for turn in turns]
    for turn, found in zip(turns, read_versions(lines), strict=True):
        turn.run = found.run
        turn.question_versions = found.question
        turn.answer_versions = found.answer


def _context_from(chat_session: Session, turns: list[Turn], *, is_latest: bool) -> int | None:
    """The position where the agent's last context began; None if it was the whole chat."""
    if is_latest:
        runs = (turn.run for turn in reversed(turns))
        return next((run.context_from for run in runs if run and run.has_answered), None)
    answered = chat_session.runs.filter(status__in=AgentRun.ANSWERED_STATUSES)
    return answered.order_by("created_at").values_list("context_from", flat=True).last()


def _mark_context(turns: list[Turn], context_from: int | None, *, has_older: bool) -> None:
    """Mark the turn that the context begins with, unless nothing is above it."""
    if context_from is None:
        return
    for number, turn in enumerate(turns):
        position = turn.question.position if turn.question else 0
        if position >= context_from:
            turn.begins_context = number > 0 or (has_older and position == context_from)
            return
