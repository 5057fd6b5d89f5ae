"""The use-cases: a person starts a chat, goes on with it, stops or retries an answer.

`start_session` is where sessions come from. Everything here is synchronous, takes keyword
arguments, and raises a ChatError that says in plain words what the person can do.
"""

import unicodedata
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session
from sessions_app.text import UnstorableText, check_storable
from sessions_app.writing import SessionGone, append_message, first_message

PLATFORM = "web"
MESSAGE_LENGTH = 1_000_000
NAME_LENGTH = 200
_OPENING_LENGTH = 60  # of a name that is made from a message
UNNAMED = "New chat"
_UNAVAILABLE = "This agent is not available; choose another one."
# Letters and symbols that show nothing.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
_JOINERS = "\u200c\u200d"  # parts of words and of emoji


class ChatError(Exception):
    """What a person asked for cannot be done; the text says why."""


class AgentUnavailable(ChatError):
    """There is no such agent, or it is switched off."""


class AgentChosen(ChatError):
    """The session has another agent that is active, and keeps it."""


class AlreadyAnswering(ChatError):
    """The session has an active run."""


class AlreadyUsed(ChatError):
    """The message id belongs to another message: another text, chat or agent."""


class CannotRetry(ChatError):
    """The run did not fail, or the chat has gone on since."""


class ChatGone(ChatError):
    """The session does not exist (any more), or it is somebody else's."""


class InvalidMessage(ChatError):
    """The text is blank, too long, or holds what cannot be stored."""


class InvalidName(ChatError):
    """The name is blank, too long, or holds what cannot be stored."""


def check_message(text: str) -> None:
    """Raise InvalidMessage unless the text can be a message."""
    _check_text(
        text,
        InvalidMessage,
        if_blank="Write a message first.",
        longest=MESSAGE_LENGTH,
        if_longer=f"A message has at most {MESSAGE_LENGTH:,} characters; this one has {len(text)}.",
    )


def check_name(name: str) -> None:
    """Raise InvalidName unless the text can be the name of a chat."""
    _check_text(
        name,
        InvalidName,
        if_blank="A chat needs a name.",
        longest=NAME_LENGTH,
        if_longer=f"A name has at most {NAME_LENGTH} characters.",
    )


def start_session(
    *, user: User, agent_id: int, text: str, message_id: UUID
) -> tuple[AgentRun, bool]:
    """Make a session with its first message, and the run that is to answer it.

    All three are committed together, or none. Returns the run and whether it is new, and so
    for the caller to submit: `message_id` is made by the client, and a second submit of the
    same form gets the first one's run.

    Raises AgentUnavailable, InvalidMessage, or AlreadyUsed.
    """
    agent = _available(Agent.objects.filter(pk=agent_id).first())
    check_message(text)
    try:
        with transaction.atomic():
            chat_session = Session.objects.create(
                user=user, agent=agent, name=name_from(text), platform=PLATFORM
            )
            message = first_message(_said(message_id, text, user, chat_session, agent))
            return _answer_to(message), True
    except IntegrityError:
        return _run_of_first_submit(message_id, text, user, agent_id=agent_id), False


def send_message(
    *, user: User, session_id: UUID, text: str, message_id: UUID, agent_id: int | None = None
) -> tuple[AgentRun, bool]:
    """Store a further message of the person, and the run that is to answer it.

    A chat whose agent is missing or switched off gets the one of `agent_id` along with it.
    Returns the run and whether it is new, as `start_session` does.

    Raises ChatGone, AgentUnavailable, AgentChosen, InvalidMessage, AlreadyUsed, or
    AlreadyAnswering.
    """
    chat_session = get_session(user=user, session_id=session_id)
    agent = _agent_for(chat_session, agent_id)
    check_message(text)
    try:
        with transaction.atomic():
            # It locks the session until the end.
            message = append_message(_said(message_id, text, user, chat_session, agent))
            _give_agent(chat_session, agent)
            _refuse_while_answering(session_id)
            return _answer_to(message), True
    except IntegrityError:
        first = _run_of_first_submit(
            message_id, text, user, agent_id=agent_id, session_id=session_id
        )
        return first, False
    except SessionGone:
        raise _deleted() from None


def retry_run(*, user: User, run_id: UUID, agent_id: int | None = None) -> AgentRun:
    """Answer the same message again; makes neither a session nor a message.

    A chat whose agent is missing or switched off gets the one of `agent_id`.

    Raises ChatGone, AgentUnavailable, AgentChosen, CannotRetry, or AlreadyAnswering.
    """
    failed = get_run(user=user, run_id=run_id)
    if not failed.can_be_retried:
        raise CannotRetry("Only an answer that failed can be retried.")
    agent = _agent_for(failed.session, agent_id)
    with transaction.atomic():
        # The session's lock, so that no message arrives meanwhile.
        _lock(failed.session)
        _refuse_while_answering(failed.session_id)
        latest = Message.objects.filter(session=failed.session_id).order_by("-position").first()
        if latest is None or latest.pk != failed.message_id:
            raise CannotRetry("The chat has gone on since; send your message again instead.")
        _give_agent(failed.session, agent)
        return AgentRun.objects.create(
            session_id=failed.session_id,
            message=latest,
            agent=agent,
            user=user,
            heartbeat_at=Now(),
        )


def stop_run(*, user: User, run_id: UUID) -> bool:
    """End a run, keeping what has come. False when it had ended by itself.

    The process that works on it notices within a fraction of a second.
    """
    run = get_run(user=user, run_id=run_id)
    return run.finish(AgentRun.Status.STOPPED)


def rename_session(*, user: User, session_id: UUID, name: str) -> None:
    """Give a chat another name. Raises ChatGone or InvalidName."""
    check_name(name)
    chat_session = get_session(user=user, session_id=session_id)
    if not Session.objects.filter(pk=chat_session.pk).update(name=name):
        raise _deleted()


def delete_session(*, user: User, session_id: UUID) -> None:
    """Delete a chat with its messages and runs: the person has been asked. Raises ChatGone."""
    chat_session = get_session(user=user, session_id=session_id)
    with transaction.atomic():
        # Whoever is about to write to it is told that it is gone.
        _lock(chat_session)
        AgentRun.objects.filter(session=chat_session.pk).delete()
        Message.objects.filter(session=chat_session.pk).delete()
        chat_session.delete()


def get_session(*, user: User, session_id: UUID) -> Session:
    """The person's own session; a stranger's is as good as none. Raises ChatGone."""
    chat_session = (
        Session.objects.for_user(user).select_related("agent").filter(pk=session_id).first()
    )
    if chat_session is None:
        raise ChatGone("There is no such chat.")
    return chat_session


def get_run(*, user: User, run_id: UUID) -> AgentRun:
    """A run in one of the person's own sessions. Raises ChatGone."""
    run = (
        AgentRun.objects.filter(pk=run_id, session__in=Session.objects.for_user(user))
        .select_related("session__agent")
        .first()
    )
    if run is None:
        raise ChatGone("There is no such answer.")
    return run


def name_from(text: str) -> str:
    """A session's name from the opening words of its first message; never blank."""
    words = " ".join("".join(map(_shown, text.lstrip()[: _OPENING_LENGTH * 10])).split())
    if not any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANK for char in words):
        return UNNAMED
    if len(words) <= _OPENING_LENGTH:
        return words
    cut = words[:_OPENING_LENGTH]
    return f"{(cut.rpartition(' ')[0] or cut).rstrip('.,;:')}…"


def _shown(char: str) -> str:
    """What is left of a character in a name: one line, and no invisible marks."""
    category = unicodedata.category(char)
    if category == "Cf":
        return char if char in _JOINERS else ""
    return " " if category[0] in "CZ" else char


def _check_text(
    text: str, error: type[ChatError], *, if_blank: str, longest: int, if_longer: str
) -> None:
    if not text.strip():
        raise error(if_blank)
    if len(text) > longest:
        raise error(if_longer)
    try:
        check_storable(text)
    except UnstorableText as unstorable:
        raise error(str(unstorable)) from None


def _lock(chat_session: Session) -> None:
    """Lock the session's row until the transaction ends. Raises ChatGone."""
    if not Session.objects.select_for_update().filter(pk=chat_session.pk).exists():
        raise _deleted()


def _deleted() -> ChatGone:
    return ChatGone("This chat has been deleted.")


def _available(agent: Agent | None) -> Agent:
    if agent is None or not agent.active:
        raise AgentUnavailable(_UNAVAILABLE)
    return agent


def _agent_for(chat_session: Session, agent_id: int | None) -> Agent:
    """Who is to answer in a chat: its own agent, or the one that was chosen when it has none."""
    own = chat_session.agent
    if own is not None and own.active:
        if agent_id not in {None, own.pk}:
            raise _other_agent_chosen()
        return own
    if agent_id is None:
        raise AgentUnavailable(_UNAVAILABLE if own else "This chat has no agent; choose one.")
    return _available(Agent.objects.filter(pk=agent_id).first())


def _give_agent(chat_session: Session, agent: Agent) -> None:
    """Make it the chat's agent, unless it is. Called with the session's row locked."""
    if chat_session.agent_id == agent.pk:
        return
    # Somebody may have chosen one since the session was read.
    replaceable = Q(agent=None) | Q(agent__active=False) | Q(agent=agent)
    if not Session.objects.filter(replaceable, pk=chat_session.pk).update(agent=agent):
        raise _other_agent_chosen()


def _other_agent_chosen() -> AgentChosen:
    return AgentChosen("Another agent was chosen for this chat meanwhile. Send it once more.")


def _said(message_id: UUID, text: str, user: User, chat_session: Session, agent: Agent) -> Message:
    return Message(
        id=message_id,
        session=chat_session,
        user=user,
        agent=agent,
        role=Message.Role.USER,
        text_content=text,
    )


def _answer_to(message: Message) -> AgentRun:
    return AgentRun.objects.create(
        session=message.session,
        message=message,
        agent=message.agent,
        user=message.user,
        heartbeat_at=Now(),
    )


def _refuse_while_answering(session_id: UUID) -> None:
    """Called with the session's row locked."""
    if AgentRun.objects.active().filter(session=session_id).exists():
        raise AlreadyAnswering("An answer is still being written; wait for it or stop it.")


def _run_of_first_submit(
    message_id: UUID,
    text: str,
    user: User,
    *,
    agent_id: int | None,
    session_id: UUID | None = None,
) -> AgentRun:
    """The run of the submit that came first, if it was of this same form."""
    message = Message.objects.filter(pk=message_id).first()
    if message is None:
        # Something else was missing: the agent's row, which was deleted just now.
        raise AgentUnavailable(_UNAVAILABLE)
    is_same = (
        message.text_content == text
        and agent_id in {None, message.agent_id}
        and session_id in {None, message.session_id}
    )
    run = AgentRun.objects.filter(message=message, user=user, session__user=user)
    first = run.order_by("created_at").first()
    if first is None or not is_same:
        raise AlreadyUsed("Another message was sent with this form. Send it once more.")
    return first
