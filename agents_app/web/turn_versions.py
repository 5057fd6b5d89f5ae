"""Which versions the questions and answers of a page have. Only reads: three queries.

See agents_app.chats.versions for what a version and its head are.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import F, Min, Q

from agents_app.models import Agent, AgentRun
from sessions_app.models import Message


@dataclass(frozen=True)
class Versions:
    """A version's head, its number among all versions, and the heads of its neighbours.

    For answers by several agents, also which agents wrote the neighbours.
    """

    head: UUID
    number: int
    count: int
    previous: UUID | None
    next: UUID | None
    previous_agent: Agent | None = None
    next_agent: Agent | None = None


@dataclass(frozen=True)
class TurnVersions:
    """The run that a turn is shown with, and what other versions there are."""

    run: AgentRun | None = None
    question: Versions | None = None
    answer: Versions | None = None


@dataclass(frozen=True)
class _Sent:
    """The versions of a user's message, the first one first, and when that was sent."""

    at: datetime
    versions: list[UUID]


NO_AGENTS: Mapping[UUID, Agent] = {}

TurnRows = tuple[Message | None, list[Message]]  # a question, and the rows of its answer


def read_versions(turns: Sequence[TurnRows]) -> list[TurnVersions]:
    """The runs and versions of turns that follow one another, in order."""
    questions = [question for question, _ in turns if question]
    runs = _read_runs([row for question, answer in turns for row in [question, *answer] if row])
    aside = _read_aside(questions, [run.pk for own in runs.values() for run in own])
    sent = _read_sent(questions)
    found = []
    followed_at: datetime | None = None
    for question, answer in reversed(turns):
        run, head = _chosen(question, answer, runs, followed_at)
        if question is None:
            found.append(TurnVersions(run))
            continue
        heads = _heads(question, head, runs[question.pk], aside)
        by = {run.pk: run.agent for run in runs[question.pk] if run.agent}
        question_versions = _with_neighbours(question.pk, sent[question.pk].versions)
        found.append(TurnVersions(run, question_versions, _with_neighbours(head, heads, by)))
        followed_at = sent[question.pk].at
    return found[::-1]


def _chosen(
    question: Message | None,
    answer: list[Message],
    runs: Mapping[UUID, list[AgentRun]],
    followed_at: datetime | None,
) -> tuple[AgentRun | None, UUID | None]:
    """The run whose answer is on the chosen line, and that answer's head."""
    own = runs[question.pk] if question else []
    if not answer:
        tried = [run for run in own if followed_at is None or run.created_at < followed_at]
        return (tried[-1], tried[-1].pk) if tried else (None, None)
    first, last = answer[0], answer[-1]
    head = first.run_id or first.pk
    if runs[last.pk]:  # the run that continues the answer
        return runs[last.pk][-1], head
    if last.run_id:
        by_id = {run.pk: run for row in [question, *answer] if row for run in runs[row.pk]}
        return by_id.get(last.run_id), head
    # Old messages do not record their run.
    earlier = [run for run in own if run.created_at <= first.created_at]
    return (earlier[-1] if earlier else None), head


def _heads(
    question: Message, head: UUID | None, runs: list[AgentRun], aside: Mapping[UUID, int]
) -> list[UUID]:
    """The heads of a question's answers: an imported one first, then by run."""
    heads = [run.pk for run in runs if run.pk in aside or run.pk == head or run.text.strip()]
    imported = [mark for mark, at in aside.items() if at == question.position + 1]
    if head:
        imported.append(head)
    known = {run.pk for run in runs}
    return [mark for mark in imported if mark not in known] + heads


def _with_neighbours(
    head: UUID | None, heads: list[UUID], agents: Mapping[UUID, Agent] = NO_AGENTS
) -> Versions | None:
    """A version among all heads; None if it is the only one."""
    if head is None or len(heads) < 2:
        return None
    index = heads.index(head)
    previous = heads[index - 1] if index else None
    following = heads[index + 1] if index + 1 < len(heads) else None
    by = agents if len({agents.get(mark) for mark in heads}) > 1 else NO_AGENTS
    return Versions(
        head=head,
        number=index + 1,
        count=len(heads),
        previous=previous,
        next=following,
        previous_agent=by.get(previous) if previous else None,
        next_agent=by.get(following) if following else None,
    )


def _read_runs(messages: list[Message]) -> Mapping[UUID, list[AgentRun]]:
    """The runs that were to answer each message, or to continue the answer, in order."""
    runs = defaultdict(list)
    for run in (
        AgentRun.objects.filter(message__in=messages)
        .select_related("agent")
        .order_by("created_at", "pk")
    ):
        runs[run.message_id].append(run)
    return runs


def _read_aside(questions: list[Message], run_ids: list[UUID]) -> dict[UUID, int]:
    """The heads of the answers that are set aside, with the positions where they begin."""
    if not questions:
        return {}
    imported = Q(set_aside_with=F("pk"), run=None) & ~Q(role=Message.Role.USER)
    rows = Message.objects.filter(
        Q(set_aside_with__in=run_ids) | imported,
        session=questions[0].session_id,
        position__gt=questions[0].position,
    )
    return dict(rows.values_list("set_aside_with").annotate(start=Min("position")))


def _read_sent(questions: list[Message]) -> dict[UUID, _Sent]:
    """When each message was sent, and its versions."""
    firsts = {question.pk: question.version_of or question.pk for question in questions}
    edited = [question.version_of for question in questions if question.version_of]
    rows = Message.objects.filter(Q(version_of__in=firsts.values()) | Q(pk__in=edited))
    versions = defaultdict(list)
    sent_at = {question.pk: question.created_at for question in questions}
    for pk, first, created_at in rows.order_by("position").values_list(
        "pk", "version_of", "created_at"
    ):
        versions[first or pk].append(pk)
        sent_at[pk] = created_at
    return {
        pk: _Sent(sent_at.get(first, sent_at[pk]), _with_first(first, versions[first]))
        for pk, first in firsts.items()
    }


def _with_first(first: UUID, versions: list[UUID]) -> list[UUID]:
    return versions if first in versions else [first, *versions]
