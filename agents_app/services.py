"""The use-cases of turns: starting, continuing and stopping them, and versions of what was said.

Chats come from `start_session`, and sessions that a program asks for from `create_session`.
Whatever creates a run also dispatches it. Everything here is synchronous, takes keyword arguments,
and raises a ChatError whose text tells the user what to do.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from agents_app.chats import versions
from agents_app.chats.errors import (
    AgentChosen,
    AgentUnavailable,
    AlreadyAnswering,
    NotRetryable,
)
from agents_app.chats.idempotency import find_first_run
from agents_app.chats.lookups import chat_deleted, get_question, get_run, get_session, lock_session
from agents_app.chats.names import title_from_message
from agents_app.chats.validation import check_message, check_name
from agents_app.models import Agent, AgentRun
from agents_app.run_options import NO_OPTIONS, RunOptions
from agents_app.runs import dispatch
from sessions_app.models import Message, Session
from sessions_app.writing import SessionGone, append_message, insert_first_messages

PLATFORM = "web"


@dataclass(frozen=True)
class TurnDetails:
    """What a program may specify about a message and the run that answers it."""

    message_type: str = "text"
    context: Any = None
    channel_payload: Any = None
    options: RunOptions = NO_OPTIONS
    # For a new session: the messages before the one that is answered, as unsaved rows.
    earlier: tuple[Message, ...] = ()
    # The digest of the whole request, if it may be repeated; see AgentRun.request_digest.
    digest: str = ""


_PLAIN = TurnDetails()
# A session's values while it has an active run. Whatever writes to the row before creating a run
# writes these, too, which saves a statement; see AgentRunQuerySet.last_status.
_ANSWERING = {"last_run_status": AgentRun.Status.RUNNING.value}


def start_session(
    *,
    user: User,
    agent_id: int,
    text: str,
    message_id: UUID,
    name: str | None = None,
    platform: str = PLATFORM,
    details: TurnDetails = _PLAIN,
) -> AgentRun:
    """Create a session with its first message and the run that answers it; returns the run.

    Without a name, the session is named after the message.

    All three are committed together, or none. The client chooses `message_id`: submitting the
    same form a second time creates nothing, and returns the first run.

    Raises AgentUnavailable, InvalidMessage, InvalidName, or AlreadyUsed.
    """
    check_message(text)
    if name is not None:
        check_name(name)
    try:
        with transaction.atomic():
            agent = _available(Agent.objects.filter(pk=agent_id).first())
            chat_session = Session.objects.create(
                user_id=user.pk,
                agent=agent,
                name=name or title_from_message(text),
                platform=platform,
                **_ANSWERING,
            )
            message = _user_message(message_id, text, user, chat_session, agent, details)
            for row in details.earlier:
                row.session, row.user_id, row.agent = chat_session, user.pk, agent
            insert_first_messages([*details.earlier, message])
            return _start_run(chat_session, message, agent, user, details)
    except IntegrityError:
        return find_first_run(message_id, text, user, agent_id=agent_id, digest=details.digest)


def create_session(*, user: User, name: str, agent: Agent | None, platform: str) -> Session:
    """Create an empty session at a program's request. Raises InvalidName."""
    check_name(name)
    # Somebody chose the name: whatever it is, no cleanup may take the session for a phantom.
    return Session.objects.create(user=user, name=name, agent=agent, platform=platform, keep=True)


def send_message(
    *,
    user: User,
    session_id: UUID,
    text: str,
    message_id: UUID,
    agent_id: int | None = None,
    switch: bool = False,
    details: TurnDetails = _PLAIN,
) -> AgentRun:
    """Store another message of the user, and the run that answers it; returns the run.

    `agent_id` replaces the chat's agent if that is missing or inactive; with `switch`, it
    replaces any other agent, too. A second submit is handled as in `start_session`.

    Raises ChatNotFound, AgentUnavailable, AgentChosen, InvalidMessage, AlreadyUsed, or
    AlreadyAnswering.
    """
    chat_session = get_session(user=user, session_id=session_id)
    agent = _agent_for(chat_session, agent_id, switch=switch)
    check_message(text)
    try:
        with transaction.atomic():
            # This locks the session until the transaction ends.
            message = append_message(
                _user_message(message_id, text, user, chat_session, agent, details),
                session_values=_ANSWERING,
            )
            _assign_agent(chat_session, agent, switch=switch and agent_id is not None)
            _check_not_answering(chat_session)
            return _start_run(chat_session, message, agent, user, details)
    except IntegrityError:
        return find_first_run(
            message_id,
            text,
            user,
            agent_id=agent_id,
            session_id=session_id,
            digest=details.digest,
        )
    except SessionGone:
        raise chat_deleted() from None


def retry_run(
    *, user: User, session_id: UUID, run_id: UUID, agent_id: int | None = None
) -> AgentRun:
    """Answer the message of a failed run again; returns the new run.

    `agent_id` replaces the chat's agent if that is missing or inactive.

    Raises ChatNotFound, AgentUnavailable, AgentChosen, NotRetryable, or AlreadyAnswering.
    """
    failed = get_run(user=user, session_id=session_id, run_id=run_id)
    if not failed.has_failed:
        raise NotRetryable("Only an answer that failed can be retried.")
    agent = _agent_for(failed.session, agent_id)
    with transaction.atomic():
        # Locked, so that no message can arrive in between.
        _lock_for_run(failed.session)
        _check_not_answering(failed.session)
        if not failed.can_be_retried(failed.last_message()):
            raise NotRetryable("The chat has continued since; send your message again instead.")
        _assign_agent(failed.session, agent)
        return _start_run(failed.session, failed.message, agent, user)


def regenerate(
    *, user: User, session_id: UUID, message_id: UUID, agent_id: int | None = None
) -> AgentRun:
    """Answer the chat's last question again; returns the new run.

    The previous answer, however it ended, stays as another version. If an agent is given, that
    one answers, and the chat continues with it.

    Raises ChatNotFound, AgentUnavailable, NotRetryable, or AlreadyAnswering.
    """
    question = get_question(user=user, session_id=session_id, message_id=message_id)
    agent = _agent_for(question.session, agent_id, switch=True)
    with transaction.atomic():
        _lock_for_run(question.session)
        _check_not_answering(question.session)
        questions = Message.objects.chosen().filter(session=session_id, role=Message.Role.USER)
        if questions.order_by("position").last() != question:
            raise NotRetryable("The chat has continued since; edit your message instead.")
        versions.set_answer_aside(question)
        _assign_agent(question.session, agent, switch=agent_id is not None)
        return _start_run(question.session, question, agent, user)


def edit_message(
    *,
    user: User,
    session_id: UUID,
    message_id: UUID,
    text: str,
    new_message_id: UUID,
    agent_id: int | None = None,
) -> AgentRun:
    """Store another version of a message, and the run that answers it; returns the run.

    The original stays as a version, with everything that followed it, even if the text is the
    same. A second submit is handled as in `start_session`.

    Raises ChatNotFound, AgentUnavailable, AgentChosen, InvalidMessage, AlreadyUsed, or
    AlreadyAnswering.
    """
    chat_session = get_session(user=user, session_id=session_id)
    agent = _agent_for(chat_session, agent_id)
    check_message(text)
    new = _user_message(new_message_id, text, user, chat_session, agent)
    try:
        with transaction.atomic():
            # This locks the session until the transaction ends.
            append_message(new, session_values=_ANSWERING)
            _check_not_answering(chat_session)
            edited = get_question(user=user, session_id=session_id, message_id=message_id)
            versions.set_aside(chat_session, edited.pk, start=edited.position, end=new.position)
            new.version_of = edited.version_of or edited.pk
            new.save(update_fields=["version_of"])
            _assign_agent(chat_session, agent)
            return _start_run(chat_session, new, agent, user)
    except IntegrityError:
        return find_first_run(new_message_id, text, user, agent_id=agent_id, session_id=session_id)
    except SessionGone:
        raise chat_deleted() from None


def continue_answer(*, user: User, session_id: UUID, run_id: UUID) -> AgentRun:
    """Continue an answer that ended at the token limit; returns the new run.

    What the run writes becomes another part of the same answer.

    Raises ChatNotFound, AgentUnavailable, NotRetryable, or AlreadyAnswering.
    """
    truncated_run = get_run(user=user, session_id=session_id, run_id=run_id)
    agent = _agent_for(truncated_run.session, None)
    with transaction.atomic():
        _lock_for_run(truncated_run.session)
        _check_not_answering(truncated_run.session)
        last = truncated_run.last_message()
        if last is None or not truncated_run.can_be_continued(last):
            raise NotRetryable("Only the chat's last answer can be continued, if it was cut off.")
        return _start_run(truncated_run.session, last, agent, user)


def choose_version(*, user: User, session_id: UUID, head: UUID) -> None:
    """Show another version of a message or an answer, with what followed it.

    `head` is as in agents_app.chats.versions. This does not count as activity in the chat.

    Raises ChatNotFound, AlreadyAnswering, or VersionUnavailable.
    """
    chat_session = get_session(user=user, session_id=session_id)
    with transaction.atomic():
        lock_session(chat_session)
        _check_not_answering(chat_session)
        versions.choose(chat_session, head)


def stop_run(*, user: User, session_id: UUID, run_id: UUID) -> bool:
    """End a run in one of the user's chats, like `stop`. Raises ChatNotFound."""
    return stop(get_run(user=user, session_id=session_id, run_id=run_id))


def stop(run: AgentRun) -> bool:
    """End a run, keeping the text so far. False when it had already ended.

    Another process that is working on it notices within a fraction of a second.
    """
    was_active = run.finish(AgentRun.Status.STOPPED)
    if was_active:
        dispatch.cancel(run.pk)
    return was_active


def _available(agent: Agent | None) -> Agent:
    if agent is None or not agent.active:
        raise AgentUnavailable
    return agent


def _agent_for(chat_session: Session, agent_id: int | None, *, switch: bool = False) -> Agent:
    """The agent that answers in a chat: its own, or the chosen one if it has none or switches."""
    own = chat_session.agent
    if own is not None and own.active and (agent_id is None or not switch):
        if agent_id not in {None, own.pk}:
            raise _other_agent_chosen()
        return own
    if agent_id is None and own is None:
        raise AgentUnavailable("This chat has no agent; choose one.")
    if agent_id is None:
        raise AgentUnavailable
    return _available(Agent.objects.filter(pk=agent_id).first())


def _assign_agent(chat_session: Session, agent: Agent, *, switch: bool = False) -> None:
    """Make it the chat's agent. The caller has locked the session's row."""
    if chat_session.agent_id == agent.pk and not switch:
        return
    # Another request may have chosen one since the session was read.
    replaceable = Q() if switch else Q(agent=None) | Q(agent__active=False) | Q(agent=agent)
    if not Session.objects.filter(replaceable, pk=chat_session.pk).update(agent=agent):
        raise _other_agent_chosen()


def _other_agent_chosen() -> AgentChosen:
    return AgentChosen("Another agent has since been chosen for this chat. Send it again.")


def _user_message(
    message_id: UUID,
    text: str,
    user: User,
    chat_session: Session,
    agent: Agent,
    details: TurnDetails = _PLAIN,
) -> Message:
    return Message(
        id=message_id,
        session=chat_session,
        user_id=user.pk,
        agent=agent,
        role=Message.Role.USER,
        text_content=text,
        message_type=details.message_type,
        context=details.context,
        channel_payload=details.channel_payload,
    )


def _lock_for_run(chat_session: Session) -> None:
    """Lock the session's row for a run without a new message. Raises ChatNotFound."""
    if not Session.objects.filter(pk=chat_session.pk).update(**_ANSWERING):
        raise chat_deleted()


def _start_run(
    chat_session: Session,
    message: Message,
    agent: Agent,
    user: User,
    details: TurnDetails = _PLAIN,
) -> AgentRun:
    """Create a run, and dispatch it when the transaction is committed.

    The caller has locked the session's row, and written _ANSWERING to it.
    """
    run = AgentRun.objects.create(
        session=chat_session,
        message=message,
        agent=agent,
        user_id=user.pk,  # a worker is handed the run, and must not keep the request's user
        options=details.options.as_json(),
        request_digest=details.digest,
        process_id=dispatch.process_id(),
        heartbeat_at=Now(),
    )
    dispatch.start_run(run)
    return run


def _check_not_answering(chat_session: Session) -> None:
    """Raise AlreadyAnswering if a run is active. The caller has locked the session's row."""
    if AgentRun.objects.active().filter(session=chat_session).exists():
        raise AlreadyAnswering("An answer is still being written; wait for it or stop it.")
