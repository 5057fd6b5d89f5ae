"""A session's conversation for staff: a page of its messages, with each run in its place.

All versions are shown, in the order in which they were stored. Read-only: three queries,
regardless of the conversation's length.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, F, Max, Min, Q, TextField, Value, When
from django.http import QueryDict
from django.utils.html import format_html
from django.utils.translation import ngettext

from agents_app.admin.tool_calls import ToolCall, join_results, read_tool_calls
from agents_app.models import AgentRun, Feedback
from agents_app.web.message_entries import Details, message_entry
from agents_app.web.rendering.markdown import markdown
from agents_app.web.transcript import messages_for_display
from sessions_app.admin.formatting import dollars, duration, tokens
from sessions_app.models import Message, Session

MESSAGES_PER_PAGE = 50
# Characters of a page that are rendered as Markdown; the rest is shown as plain text.
_MARKDOWN_PER_PAGE = 150_000
_MAX_POSITION = 2**31 - 1  # the limit of the column


@dataclass(frozen=True)
class ConversationSlice:
    """A part of a conversation: its end, or what is before, after, from or around a message."""

    before: int | None = None
    after: int | None = None
    at: int | None = None
    message_id: str = ""

    @classmethod
    def from_query(cls, query: QueryDict) -> "ConversationSlice":
        """Return the part that an address asks for; the conversation's end by default."""
        positions = {name: _position(query.get(name)) for name in ("before", "after", "at")}
        return cls(**positions, message_id=query.get("message", ""))


def _position(value: str | None) -> int | None:
    try:
        return min(max(0, int(value or "")), _MAX_POSITION)
    except ValueError:
        return None


@dataclass
class RunItem:
    """A run at the place where it ended, with its text if that is not stored as a message."""

    run: AgentRun
    text_html: str = ""

    is_run = True

    @property
    def facts(self) -> list[str]:
        """The model, times, tokens and cost, as far as they are known."""
        run = self.run
        total = _took(run.created_at, run.finished_at)
        first_token = _took(run.created_at, run.first_token_at)
        known = [
            run.model,
            total,
            first_token and f"first token {first_token}",
            tokens(run.input_tokens, run.output_tokens),
            "" if run.cost is None else dollars(run.cost),
            "ended at the token limit" if run.truncated else "",
            f"attempt {run.deaths + 1}" if run.deaths else "",
        ]
        return [fact for fact in known if fact]

    @property
    def error_details(self) -> str:
        """The part of the error that only staff may see."""
        return self.run.error.partition("\n")[2].strip()


def _took(start: datetime, end: datetime | None) -> str:
    return "" if end is None else duration(max(0.0, (end - start).total_seconds()))


@dataclass
class MessageItem:
    """A message: its text, and its collapsed reasoning and tool calls."""

    message: Message
    html: str = ""
    reasoning: Details | None = None
    tools: list[ToolCall] = field(default_factory=list)
    is_linked: bool = False

    is_run = False

    @property
    def speaker(self) -> str:
        """The name of the author."""
        message = self.message
        if message.role == Message.Role.ASSISTANT and message.agent:
            return message.agent.shown_name
        if message.role == Message.Role.USER and message.user:
            return message.user.get_username()
        return str(message.get_role_display())

    @property
    def is_folded(self) -> bool:
        """Whether its text is collapsed, since staff rarely need it."""
        return self.message.role in {Message.Role.SYSTEM, Message.Role.TOOL}

    @property
    def remark(self) -> str:
        """A note shown instead of a text and tool calls."""
        if self.html or self.tools:
            return ""
        moved = self.message.tool_outputs
        return "Its result is shown with the call above." if moved else "(no text)"

    @property
    def tools_first(self) -> bool:
        """Whether tool calls come before the text, since it is based on their results."""
        return bool(self.message.tool_outputs)

    @property
    def feedback(self) -> Feedback | None:
        return getattr(self.message, "feedback", None)


@dataclass(frozen=True)
class Section:
    """Consecutive items that are on the chosen line, or belong to one version set aside."""

    items: list[MessageItem | RunItem]
    is_set_aside: bool = False

    @property
    def messages(self) -> list[MessageItem]:
        return [item for item in self.items if isinstance(item, MessageItem)]

    @property
    def is_open(self) -> bool:
        return any(item.is_linked for item in self.messages)


@dataclass(frozen=True)
class ConversationPage:
    """A part of a conversation, and its place in the whole."""

    sections: list[Section]
    total: int
    first: int = 0  # positions of the first and the last message of the page
    last: int = 0
    older_before: int | None = None
    newer_after: int | None = None
    last_position: int = 0  # of the whole conversation
    lacks_message: bool = False  # whether the message in the address does not exist

    @property
    def is_whole(self) -> bool:
        return self.older_before is None and self.newer_after is None

    @property
    def summary(self) -> str:
        """A text that says which messages these are."""
        if self.is_whole:
            return ngettext("%s message", "%s messages", self.total) % f"{self.total:,}"
        return f"Messages {self.first:,} to {self.last:,} of {self.total:,}"


def read_conversation(chat_session: Session, part: ConversationSlice) -> ConversationPage:
    """Return a page of the session's conversation."""
    messages = messages_for_display().select_related("agent", "user", "feedback__user")
    messages = messages.filter(session=chat_session)
    span = chat_session.messages.aggregate(
        total=Count("pk"), first=Min("position"), last=Max("position")
    )
    linked = _linked_position(chat_session, part.message_id) if part.message_id else None
    rows = _rows(messages, part, linked)
    lacks_message = bool(part.message_id) and linked is None
    if not rows:
        return ConversationPage([], total=0, lacks_message=lacks_message)
    first, last = rows[0].position, rows[-1].position
    has_newer = last < span["last"]
    items = list(_items(rows, _runs(chat_session, rows), has_newer=has_newer))
    _prepare([item for item, _ in items], linked)
    return ConversationPage(
        sections=_sections(items),
        total=span["total"],
        first=first,
        last=last,
        older_before=first if first > span["first"] else None,
        newer_after=last if has_newer else None,
        last_position=span["last"],
        lacks_message=lacks_message,
    )


def _linked_position(chat_session: Session, message_id: str) -> int | None:
    try:
        pk = UUID(message_id)
    except ValueError:
        return None
    return chat_session.messages.filter(pk=pk).values_list("position", flat=True).first()


def _rows(messages: Any, part: ConversationSlice, linked: int | None) -> list[Message]:
    found = []
    if linked is not None:
        # In the middle of the page, with context before and after it.
        found = _first(messages.filter(position__gte=linked - MESSAGES_PER_PAGE // 2))
    elif part.at is not None:
        found = _first(messages.filter(position__gte=part.at))
    elif part.after is not None:
        found = _first(messages.filter(position__gt=part.after))
    elif part.before is not None:
        found = _last(messages.filter(position__lt=part.before))
    return found or _last(messages)


def _first(messages: Any) -> list[Message]:
    return list(messages.order_by("position")[:MESSAGES_PER_PAGE])


def _last(messages: Any) -> list[Message]:
    return list(messages.order_by("-position")[:MESSAGES_PER_PAGE])[::-1]


# --- The places of runs ----------------------------------------------------------------


def _runs(chat_session: Session, rows: Sequence[Message]) -> list[AgentRun]:
    """Return the runs that answer these messages, or wrote them, in order."""
    named = {row.run_id for row in rows if row.run_id}
    # What a finished run wrote is in its messages.
    unstored = Case(
        When(~Q(status=AgentRun.Status.DONE), then=F("text")),
        default=Value(""),
        output_field=TextField(),
    )
    runs = (
        AgentRun.objects.filter(Q(message__in=rows) | Q(pk__in=named), session=chat_session)
        .select_related("agent")
        .defer("text", "options")
        .annotate(unstored_text=unstored)
    )
    return list(runs.order_by("created_at", "pk"))


def _items(
    rows: Sequence[Message], runs: Sequence[AgentRun], *, has_newer: bool
) -> Iterator[tuple[MessageItem | RunItem, UUID | None]]:
    """Yield messages and runs in order, each with its `set_aside_with`.

    A run follows its last message. A run without stored messages is where its answer would be:
    after the question, and before other answers to it.
    """
    last_row = {row.run_id: row.pk for row in rows if row.run_id}
    by_question = defaultdict(list)
    written = {}
    for run in runs:
        if run.pk in last_row:
            written[last_row[run.pk]] = run
        else:
            by_question[run.message_id].append(run)
    waiting: list[AgentRun] = []
    aside: UUID | None = None
    for row in rows:
        while waiting and _comes_before(waiting[0], row):
            yield RunItem(waiting.pop(0)), aside
        aside = row.set_aside_with
        yield MessageItem(row), aside
        if row.pk in written:
            yield RunItem(written[row.pk]), aside
        waiting += by_question[row.pk]
    for run in waiting:
        # The answer of a finished run is on the next page.
        if not (has_newer and run.status == AgentRun.Status.DONE):
            yield RunItem(run), aside


def _comes_before(run: AgentRun, row: Message) -> bool:
    if row.role == Message.Role.USER or row.run_id:
        return True
    # A message without a run_id is the answer of a run that did not fail.
    return run.has_failed


# --- Their content ---------------------------------------------------------------------


def _prepare(items: Sequence[MessageItem | RunItem], linked: int | None) -> None:
    """Fill in the items' texts and tool calls."""
    left = _MARKDOWN_PER_PAGE
    for number, item in enumerate(items):
        if isinstance(item, RunItem):
            text = item.run.unstored_text  # type: ignore[attr-defined]  # annotated in _runs()
            left -= len(text)
            # With a letter, since ids without one belong to messages.
            item.text_html = _rendered(text, f"r{number}-", is_markdown=left > 0)
            continue
        message = item.message
        left -= len(message.text_content)
        item.reasoning = message_entry(message).reasoning
        item.tools = read_tool_calls(message)
        item.is_linked = message.position == linked
        is_markdown = left > 0 and message.role == Message.Role.ASSISTANT
        id_prefix = f"{message.position}-"
        item.html = _rendered(message.text_content, id_prefix, is_markdown=is_markdown)
    join_results([item.tools for item in items if isinstance(item, MessageItem)])


def _rendered(text: str, id_prefix: str, *, is_markdown: bool) -> str:
    if not text:
        return ""
    if is_markdown:
        return markdown(text, id_prefix=id_prefix)
    return format_html('<div class="plain" dir="auto">{}</div>', text)


def _sections(items: Sequence[tuple[MessageItem | RunItem, UUID | None]]) -> list[Section]:
    return [
        Section([item for item, _ in group], is_set_aside=aside is not None)
        for aside, group in groupby(items, key=lambda pair: pair[1])
    ]
