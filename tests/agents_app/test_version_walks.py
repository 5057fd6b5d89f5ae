"""Random walks through the versions of a chat, compared with a tree."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

from agents_app import services
from agents_app.chats.errors import AlreadyAnswering, VersionUnavailable
from agents_app.conversation import codec
from agents_app.models import AgentRun
from agents_app.runs import storage
from agents_app.web.transcript import Turn, read_transcript
from sessions_app.models import Message, Session
from tests.agents_app.chats import make_agent, make_user
from tests.factories import make_session, say

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(eq=False)
class Node:
    """A question or an answer, with what can follow it; `is_sent` if models are sent it."""

    head: uuid.UUID
    text: str
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)
    chosen: "Node | None" = None
    is_sent: bool = True

    def add(self, head: uuid.UUID, text: str, *, is_sent: bool = True) -> "Node":
        child = Node(head, text, self, is_sent=is_sent)
        self.children.append(child)
        self.chosen = child
        return child

    @property
    def shown(self) -> "list[Node]":
        """This and what is chosen after it."""
        return [self, *(self.chosen.shown if self.chosen else [])]

    @property
    def versions(self) -> "list[Node]":
        """What can be chosen in its place: not a run that left nothing."""
        assert self.parent is not None
        return [
            node
            for node in self.parent.children
            if node.text or node.children or node is self.parent.chosen
        ]


class Walk:
    """A chat, and the tree that it should be."""

    def __init__(self, user: User, *, imported: bool) -> None:
        self.user = user
        self.root = Node(uuid.uuid4(), "")
        self.active: tuple[AgentRun, Node] | None = None
        self.late: list[tuple[AgentRun, Node, str]] = []
        self.said = 0
        self.all_texts: list[str] = []
        if imported:
            self.chat_session: Session = make_session(user=user, agent=make_agent())
            long_ago = timezone.now() - timedelta(days=9)
            question = say(self.chat_session, self.next_text(), user=user, created_at=long_ago)
            answer = say(self.chat_session, self.next_text(), role="assistant", created_at=long_ago)
            self.root.add(question.pk, question.text_content).add(answer.pk, answer.text_content)
        else:
            message_id, text = uuid.uuid4(), self.next_text()
            run = services.start_session(
                user=user, agent_id=make_agent().pk, text=text, message_id=message_id
            )
            self.chat_session = run.session
            self.ask(run, self.root, message_id, text)

    def next_text(self) -> str:
        self.said += 1
        self.all_texts.append(f"text {self.said}")
        return self.all_texts[-1]

    def ask(self, run: AgentRun, parent: Node, message_id: uuid.UUID, text: str) -> None:
        self.answering(run, parent.add(message_id, text))

    def answering(self, run: AgentRun, question: Node) -> None:
        self.active = (run, question.add(run.pk, "", is_sent=False))

    @property
    def shown(self) -> list[Node]:
        return self.root.shown[1:]

    @property
    def questions(self) -> list[Node]:
        return self.shown[::2]

    # --- What people and workers do --------------------------------------------

    def send(self, number: int) -> None:
        message_id, text = uuid.uuid4(), self.next_text()
        run = services.send_message(
            user=self.user, session_id=self.chat_session.pk, text=text, message_id=message_id
        )
        self.ask(run, self.shown[-1], message_id, text)

    def regenerate(self, number: int) -> None:
        question = self.questions[-1]
        run = services.regenerate(
            user=self.user, session_id=self.chat_session.pk, message_id=question.head
        )
        self.answering(run, question)

    def edit(self, number: int) -> None:
        question = self.questions[number % len(self.questions)]
        message_id, text = uuid.uuid4(), self.next_text()
        run = services.edit_message(
            user=self.user,
            session_id=self.chat_session.pk,
            message_id=question.head,
            text=text,
            new_message_id=message_id,
        )
        assert question.parent is not None
        self.ask(run, question.parent, message_id, text)

    def choose(self, number: int) -> None:
        choices = [version for node in self.shown for version in node.versions]
        choice = choices[number % len(choices)]
        services.choose_version(user=self.user, session_id=self.chat_session.pk, head=choice.head)
        assert choice.parent is not None
        if choice is not choice.parent.chosen and not choice.children and choice.text:
            choice.is_sent = True
        choice.parent.chosen = choice

    def answer(self, number: int) -> None:
        assert self.active is not None
        run, node = self.active
        text = self.next_text()
        rows = codec.to_rows([ModelResponse(parts=[TextPart(text)])])
        assert storage.store_answer(run, run.attempt, rows)
        node.text, node.is_sent, self.active = text, True, None

    def fail(self, number: int) -> None:
        assert self.active is not None
        run, node = self.active
        node.text = self.next_text() if number % 2 else ""
        assert run.finish(AgentRun.Status.FAILED, text=node.text, error="It broke.", attempt=0)
        self.active = None

    def stop(self, number: int) -> None:
        """Its worker stores the text now, or only after what comes next."""
        assert self.active is not None
        run, node = self.active
        services.stop_run(user=self.user, session_id=self.chat_session.pk, run_id=run.pk)
        self.late.append((run, node, self.next_text() if number % 3 else ""))
        self.active = None
        if number % 2:
            self.store_late(0)

    def store_late(self, number: int) -> None:
        if not self.late:
            return
        run, node, text = self.late.pop(0)
        question = node.parent
        assert question is not None
        storage.store_partial_answer(run.pk, run.attempt, text, uuid.uuid4())
        node.text = text
        node.is_sent = node is self.shown[-1] and node is question.children[-1] and bool(text)

    def step(self, action: str, number: int) -> None:
        is_free = action in {"send", "regenerate", "edit", "choose"}
        if is_free and self.active is not None:
            with pytest.raises(AlreadyAnswering):
                getattr(type(self), action)(self, number)
            if action in {"send", "edit"}:
                self.all_texts.pop()
        elif is_free or self.active is not None or action == "store_late":
            getattr(self, action)(number)

    # --- What must hold ----------------------------------------------------------

    def check(self) -> None:
        turns = read_transcript(self.chat_session).turns
        assert [part for turn in turns for part in parts(turn)] == [
            node.text for node in self.shown
        ]
        for turn, question in zip(turns, self.questions, strict=True):
            assert place(turn.question_versions) == place_of(question)
            assert question.chosen is not None
            assert place(turn.answer_versions) == place_of(question.chosen)
        stored = Message.objects.filter(session=self.chat_session)
        positions = list(stored.values_list("position", flat=True))
        assert len({*positions}) == len(positions)
        runs = AgentRun.objects.filter(session=self.chat_session)
        kept = {
            *stored.values_list("text_content", flat=True),
            *runs.values_list("text", flat=True),
        }
        pending = {text for _, _, text in self.late}
        assert {*self.all_texts} - {*pending} <= kept
        if self.active is not None:
            sent = storage.start(self.active[0].pk)
            assert sent is not None
            *before, question, _ = self.shown
            assert sent.prompt == question.text
            assert texts(sent.history) == [node.text for node in before if node.is_sent]


def parts(turn: Turn) -> Iterator[str]:
    assert turn.question is not None
    yield turn.question.text_content
    yield turn.partial_text or "".join(entry.message.text_content for entry in turn.entries)


def place(versions: Any) -> tuple[Any, ...] | None:
    return versions and (versions.number, versions.count, versions.previous, versions.next)


def place_of(node: Node) -> tuple[Any, ...] | None:
    heads = [None, *(version.head for version in node.versions), None]
    if len(heads) < 4:
        return None
    at = heads.index(node.head)
    return at, len(heads) - 2, heads[at - 1], heads[at + 1]


def texts(messages: Any) -> list[str]:
    found = []
    for message in messages:
        assert isinstance(message, ModelRequest | ModelResponse)
        found += [
            str(part.content)
            for part in message.parts
            if isinstance(part, TextPart | UserPromptPart)
        ]
    return found


ACTIONS = ["send", "regenerate", "edit", "choose", "answer", "fail", "stop", "store_late"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    imported=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 60)), max_size=40),
)
def test_the_chosen_line_is_what_a_tree_says(
    imported: bool, steps: list[tuple[str, int]], submitted: list[uuid.UUID]
) -> None:
    walk = Walk(make_user(uuid.uuid4().hex), imported=imported)
    walk.check()
    for action, number in steps:
        walk.step(action, number)
        walk.check()


def test_versions_of_another_line_cannot_be_chosen() -> None:
    walk = Walk(make_user(), imported=True)
    walk.send(0)
    walk.answer(0)
    second = walk.questions[1]
    walk.edit(1)
    walk.answer(0)
    walk.edit(0)
    walk.answer(0)
    for head in (second.head, uuid.uuid4()):
        with pytest.raises(VersionUnavailable):
            services.choose_version(user=walk.user, session_id=walk.chat_session.pk, head=head)
    walk.check()
