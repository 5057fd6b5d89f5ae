"""The views of an agent's picture and of its starter prompts."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from agents_app.models import Agent, AgentPicture
from agents_app.web.login_required import login_required

FOREVER = "private, max-age=31536000, immutable"  # another picture has another URL


@login_required
@require_safe
def picture(request: HttpRequest, agent_id: int, digest: str) -> HttpResponse:
    """An agent's picture, which browsers must not take for anything but an image."""
    found = get_object_or_404(AgentPicture, agent=agent_id, agent__picture_digest=digest)
    headers = {
        "Cache-Control": FOREVER,
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(bytes(found.content), content_type=found.media_type, headers=headers)


@login_required
@never_cache
@require_safe
def starters(request: HttpRequest, agent_id: int) -> HttpResponse:
    """The starter prompts of an agent, as a fragment of the page that offers it."""
    agent = get_object_or_404(Agent.objects.active(), pk=agent_id)
    return render(request, "agents_app/starters.html", {"agent": agent})
