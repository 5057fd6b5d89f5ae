"""The choice of an agent in a message form. Takes one query."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, Subquery

from agents_app.models import Agent
from agents_app.querysets import AgentQuerySet
from agents_app.web.forms import MessageForm
from sessions_app.models import Session

DEFAULT_AGENT = "simple"


@dataclass(frozen=True)
class Option:
    """An agent to choose. The chat's own has no value: it is not sent, and so changes nothing."""

    value: str
    agent: Agent
    is_selected: bool


@dataclass(frozen=True)
class AgentChoice:
    """The agents that a form offers.

    An agent other than the chat's own is sent only when it was chosen, so that a form that was
    loaded long ago does not switch back.
    """

    others: list[Agent]
    selected: Agent | None
    own: Agent | None = None  # the chat's, while it is active
    is_substitute: bool = False  # for a chat whose own is missing or inactive

    @property
    def options(self) -> list[Option]:
        own = [Option("", self.own, self.selected == self.own)] if self.own else []
        others = [Option(str(agent.pk), agent, self.selected == agent) for agent in self.others]
        return own + others

    def for_started_chat(self) -> "AgentChoice":
        """The choice in a chat that begins with the selected agent."""
        others = [agent for agent in self.others if agent != self.selected]
        return AgentChoice(others, self.selected, own=self.selected)


def choice_for_new_chat(user: User | AnonymousUser, form: MessageForm) -> AgentChoice:
    """All agents, with the one of the user's newest chat selected unless the form has another."""
    newest = Session.objects.for_user(user).with_messages().order_by("-updated_at", "pk")
    is_last_used = Q(pk=Subquery(newest.values("agent")[:1]))
    agents = _in_order(_active().annotate(is_last_used=is_last_used))
    last_used = next((agent for agent in agents if agent.is_last_used), None)
    return AgentChoice(agents, _chosen(form, agents) or last_used or _default(agents))


def choice_for_chat(own: Agent | None, form: MessageForm) -> AgentChoice:
    """The agents that a chat can continue with, with its own selected if that is active."""
    agents = _in_order(_active())
    if own is None or not own.active:
        selected = _chosen(form, agents) or _default(agents)
        return AgentChoice(agents, selected, is_substitute=True)
    others = [agent for agent in agents if agent != own]
    return AgentChoice(others, _chosen(form, others) or own, own)


def _active() -> AgentQuerySet:
    return Agent.objects.active().defer("system_prompt", "config")


def _in_order(agents: Iterable[Any]) -> list[Any]:
    """Sorted by the names that people see, which databases would sort in different ways."""
    return sorted(agents, key=lambda agent: (agent.shown_name.casefold(), agent.pk))


def _chosen(form: MessageForm, agents: list[Agent]) -> Agent | None:
    """The agent that was chosen in a form that is shown again, or in the page's URL."""
    key = str(form["agent"].value() or "")
    return next((agent for agent in agents if str(agent.pk) == key), None)


def _default(agents: list[Agent]) -> Agent | None:
    default = next((agent for agent in agents if agent.name == DEFAULT_AGENT), None)
    return default or next(iter(agents), None)
