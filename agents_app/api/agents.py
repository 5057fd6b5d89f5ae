"""The list of agents that can be run."""

from django.http import HttpRequest
from ninja import Router

from agents_app.api.auth import require_scope
from agents_app.api.errors import ERRORS, Error
from agents_app.api.response_schemas import AgentSummary
from agents_app.models import Agent, Scope

router = Router(tags=["agents"])


@router.get(
    "/agents", response={200: list[AgentSummary], ERRORS: Error}, auth=require_scope(Scope.READ)
)
def list_agents(request: HttpRequest) -> list[AgentSummary]:
    """List the active agents."""
    return [
        AgentSummary(
            id=agent.pk,
            name=agent.name,
            description=agent.description,
            display_name=agent.shown_name,
            model=agent.model,
        )
        for agent in Agent.objects.active()
    ]


@router.get(
    "/agent/list",
    response={200: list[AgentSummary], ERRORS: Error},
    auth=require_scope(Scope.READ),
    deprecated=True,
)
def list_agents_deprecated(request: HttpRequest) -> list[AgentSummary]:
    """List the active agents under the older name of /agents."""
    return list_agents(request)
