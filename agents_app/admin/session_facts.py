"""The facts on a session's page: user, agent, times, tokens, cost; no part of the transcript."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Count, Model, Q, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import ngettext

from agents_app.models import Agent, AgentRun
from sessions_app.admin.formatting import dollars, time_with_seconds, tokens
from sessions_app.admin.shared import link_if_allowed, may_view
from sessions_app.cleanup.keep_reasons import keep_reasons
from sessions_app.models import Message, Session


@dataclass(frozen=True)
class Fact:
    """A line of the side column."""

    label: str
    value: str
    is_code: bool = False


def session_facts(chat_session: Session, request: HttpRequest, message_count: int) -> list[Fact]:
    """Return the session's user, agent, platform, times, messages, runs, tokens and cost."""
    return [
        *_people(chat_session, request),
        Fact("Platform", chat_session.platform or "none"),
        *_times(chat_session),
        Fact("Messages", _list_link(f"{message_count:,}", Message, chat_session, request)),
        *_amounts(chat_session, request),
        Fact("Id", str(chat_session.pk), is_code=True),
    ]


def removal_sentence(chat_session: Session) -> str:
    """Return a sentence that says whether a cleanup would remove the session, or why not."""
    reasons = keep_reasons([chat_session]).get(chat_session.pk)
    if reasons is None:
        return "The session has been deleted."
    if reasons:
        return f"A cleanup keeps it: {'; '.join(reasons)}."
    return "The next cleanup will remove it: it is auto-named and empty."


def _people(chat_session: Session, request: HttpRequest) -> Iterator[Fact]:
    user, agent = chat_session.user, chat_session.agent
    if isinstance(user, User):
        url = reverse("admin:sessions_app_session_changelist")
        query = urlencode({"user": user.get_username()})
        own = format_html('<a href="{}?{}">all their sessions</a>', url, query)
        name = link_if_allowed(request, user, user.get_username())
        yield Fact("User", format_html("{} · {}", name, own))
    else:
        yield Fact("User", "none")
    if isinstance(agent, Agent):
        yield Fact("Agent", link_if_allowed(request, agent, agent.name))
    else:
        yield Fact("Agent", "none")


def _times(chat_session: Session) -> Iterator[Fact]:
    moments = {
        "Created": chat_session.created_at,
        "Last activity": chat_session.updated_at,
        "Last answer ended": chat_session.run_finished_at,
        "Pinned": chat_session.pinned_at,
        "In the trash since": chat_session.trashed_at,
    }
    for label, moment in moments.items():
        if moment is not None:
            yield Fact(label, time_with_seconds(moment))


def _list_link(text: str, model: type[Model], chat_session: Session, request: HttpRequest) -> str:
    """Return the text, as a link to the session's rows of the model if the user may view them."""
    if not may_view(request, model):
        return text
    url = reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist")
    return format_html('<a href="{}?session={}">{}</a>', url, chat_session.pk, text)


def _amounts(chat_session: Session, request: HttpRequest) -> Iterator[Fact]:
    sums = AgentRun.objects.filter(session=chat_session).aggregate(
        runs=Count("pk"),
        failed=Count("pk", filter=Q(status__in=AgentRun.FAILED_STATUSES)),
        tokens_in=Sum("input_tokens"),
        tokens_out=Sum("output_tokens"),
        cost=Sum("cost"),
    )
    if not sums["runs"]:
        return
    runs = ngettext("%s run", "%s runs", sums["runs"]) % f"{sums['runs']:,}"
    failed = f", {sums['failed']:,} failed" if sums["failed"] else ""
    yield Fact("Runs", _list_link(f"{runs}{failed}", AgentRun, chat_session, request))
    if used := tokens(sums["tokens_in"], sums["tokens_out"]):
        yield Fact("Used", used)
    if sums["cost"] is not None:
        yield Fact("Cost", dollars(sums["cost"]))
