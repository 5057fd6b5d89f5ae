"""Concurrent writers in chats, on separate connections and in separate processes."""

import socket
import subprocess
import threading
import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from agents_app.chats.errors import AlreadyAnswering
from agents_app.models import Agent, AgentRun
from agents_app.services import send_message, start_session
from sessions_app.models import Message, Session
from tests.concurrency.helpers import Other

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def agent() -> Agent:
    return Agent.objects.get_or_create(name="simple")[0]


@pytest.fixture
def answered(ana: User, agent: Agent) -> AgentRun:
    """The first turn of a chat, which has ended."""
    run = start_session(user=ana, agent_id=agent.pk, text="Hello", message_id=uuid.uuid4())
    run.finish(AgentRun.Status.DONE)
    return run


def test_a_form_sent_twice_at_once_makes_one_session(
    ana: User, agent: Agent, submitted: list[uuid.UUID]
) -> None:
    message_id = uuid.uuid4()
    start = threading.Barrier(4)

    def submit() -> AgentRun:
        start.wait(timeout=60)
        return start_session(user=ana, agent_id=agent.pk, text="Hello", message_id=message_id)

    runs = [submit.result() for submit in [Other(submit) for _ in range(4)]]
    assert {run.pk for run in runs} == {*submitted}
    assert len(submitted) == 1
    assert Session.objects.count() == Message.objects.count() == AgentRun.objects.count() == 1


def test_of_two_messages_at_once_one_is_refused(ana: User, answered: AgentRun) -> None:
    start = threading.Barrier(2)

    def send(text: str) -> str:
        start.wait(timeout=60)
        try:
            send_message(
                user=ana, session_id=answered.session_id, text=text, message_id=uuid.uuid4()
            )
        except AlreadyAnswering:
            return "refused"
        return text

    outcomes = [sender.result() for sender in [Other(lambda: send("a")), Other(lambda: send("b"))]]
    assert outcomes.count("refused") == 1
    stored = Message.objects.filter(session=answered.session_id).order_by("position")
    assert [row.text_content for row in stored] == ["Hello", *{*outcomes} - {"refused"}]
    assert [row.position for row in stored] == [1, 2]


SEND = """
import socket, uuid
from django.contrib.auth.models import User
from agents_app.chats.errors import AlreadyAnswering
from agents_app.services import send_message
user = User.objects.get()
with socket.create_connection(("127.0.0.1", {port})) as start:
    start.recv(1)
try:
    send_message(user=user, session_id=uuid.UUID("{session_id}"),
                 text="{text}", message_id=uuid.uuid4())
    print("stored")
except AlreadyAnswering:
    print("refused")
"""


def test_two_processes(answered: AgentRun, manage: Callable[..., "subprocess.Popen[str]"]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gate:
        port = gate.getsockname()[1]
        senders = [
            manage("shell", "-v0", "-c", SEND.format(session_id=answered.session_id, **names))
            for names in ({"text": "from one", "port": port}, {"text": "another", "port": port})
        ]
        gate.settimeout(60)
        waiting = [gate.accept()[0] for _ in senders]
        for connection in waiting:  # both are ready
            connection.close()
    said = sorted(sender.communicate(timeout=60)[0].strip() for sender in senders)
    assert said == ["refused", "stored"]
    positions = Message.objects.filter(session=answered.session_id).order_by("position")
    assert list(positions.values_list("position", flat=True)) == [1, 2]
    assert AgentRun.objects.active().filter(session=answered.session_id).count() == 1
