"""Sessions and their messages: list, read, create, rename, delete."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Router, Status
from pydantic import BeforeValidator

from agents_app import services
from agents_app.api import path_converters  # noqa: F401 - registers `any`
from agents_app.api.auth import require_scope, user_of
from agents_app.api.errors import ERRORS, ApiError, Error
from agents_app.api.lookups import find_agent, find_session, parse_uuid
from agents_app.api.paging import Cursor, PageNumber, PageSize, Total, count_up_to_limit
from agents_app.api.request_schemas import Rename, SessionRequest
from agents_app.api.response_schemas import (
    Deleted,
    MessageDetail,
    SessionDetail,
    SessionList,
    SessionMessage,
    SessionSummary,
)
from agents_app.chats import organizing, trash
from agents_app.models import Scope
from sessions_app.displayable import encodable, encodable_json
from sessions_app.models import Message, Session
from sessions_app.querysets import SessionQuerySet
from sessions_app.tool_columns import tool_entries

router = Router(tags=["sessions"])


def _check_flag(value: Any) -> Any:
    # Pydantic would also accept other words, which are not documented.
    if isinstance(value, str) and value.lower() not in {"true", "false"}:
        raise ValueError("Input should be true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_check_flag)]


@router.get("/sessions", response={200: SessionList, ERRORS: Error}, auth=require_scope(Scope.READ))
def list_sessions(
    request: HttpRequest,
    page: PageNumber = 1,
    page_size: PageSize = 50,
    sort_desc: Flag = True,
    cursor: str | None = None,
) -> SessionList:
    """List the sessions of the key's user, the most recently used first.

    Read long lists with `cursor`, which is the `next_cursor` of the previous page; `page` is then
    ignored. `total` is counted up to 10,000: if `total_is_capped`, there are more, which can be
    listed either way.
    """
    own = Session.objects.for_user(user_of(request))
    order = ("-updated_at", "-pk") if sort_desc else ("updated_at", "pk")
    rows = own.order_by(*order)
    start = 0
    if cursor is not None:
        after = Cursor.from_text(cursor).rows_after("updated_at", descending=sort_desc)
        rows = rows.filter(after)
    else:
        start = (page - 1) * page_size
    # The keys are selected first, so that nothing is read or counted for the rows before the page.
    page_keys = rows[start : start + page_size + 1].values("pk")
    found = list(_with_facts(Session.objects.filter(pk__in=page_keys)).order_by(*order))
    shown = found[:page_size]
    has_more = len(found) > page_size
    last = shown[-1] if shown else None
    total = count_up_to_limit(own)
    return SessionList(
        sessions=[SessionSummary(**_summary(row)) for row in shown],
        total=total.count,
        total_count=total.count,
        total_is_capped=total.is_capped,
        page=page,
        page_size=page_size,
        total_pages=total.pages(page_size),
        next_cursor=Cursor(last.updated_at, last.pk).as_text() if last and has_more else None,
    )


@router.post(
    "/sessions", response={201: SessionSummary, ERRORS: Error}, auth=require_scope(Scope.CHAT)
)
def create_session(request: HttpRequest, body: SessionRequest) -> Status[SessionSummary]:
    """Create an empty session."""
    agent = None if body.agent is None else find_agent(str(body.agent))
    chat_session = services.create_session(
        user=user_of(request), name=body.name, agent=agent, platform=body.platform
    )
    return Status(201, SessionSummary(**_summary(chat_session, message_count=0)))


@router.get(
    "/sessions/{any:session}",
    response={200: SessionDetail, ERRORS: Error},
    auth=require_scope(Scope.READ),
)
def read_session(
    request: HttpRequest,
    session: Annotated[str, Path(description="The session's id or name.")],
    page: PageNumber = 1,
    page_size: PageSize = 50,
    sort_desc: Flag = True,
    hide_tools: Flag = False,
    show_system_prompt: Flag = False,
) -> SessionDetail:
    """Read a session with a page of its messages.

    The newest messages come first unless `sort_desc` is false.
    """
    chat_session = find_session(user_of(request), session)
    all_messages = Message.objects.filter(session=chat_session)
    messages = all_messages.exclude(role=Message.Role.SYSTEM)
    if hide_tools:
        messages = messages.exclude(role=Message.Role.TOOL)
    order = "-position" if sort_desc else "position"
    start = (page - 1) * page_size
    rows = messages.without_payloads().order_by(order)[start : start + page_size]
    count = messages.count()
    summary = _summary(chat_session, message_count=all_messages.count())
    summary["session_id"] = _id_or_name(chat_session, session)
    return SessionDetail(
        **summary,
        messages=[MessageDetail(**_message(row, hide_tools=hide_tools)) for row in rows],
        exists=True,
        total_messages=count,
        current_page=page,
        total_pages=Total(count, is_capped=False).pages(page_size),
        page_size=page_size,
        system_prompt=_system_prompt(chat_session) if show_system_prompt else None,
    )


@router.patch(
    "/sessions/{any:session}",
    response={200: SessionSummary, ERRORS: Error},
    auth=require_scope(Scope.CHAT),
)
def rename_session(
    request: HttpRequest,
    session: Annotated[str, Path(description="The session's id or name.")],
    body: Rename,
) -> SessionSummary:
    """Give a session a new name."""
    chat_session = find_session(user_of(request), session)
    organizing.rename_session(chat_session, name=body.name)
    return SessionSummary(**_summary(_with_facts(Session.objects.all()).get(pk=chat_session.pk)))


@router.delete(
    "/sessions/{any:session}",
    response={200: Deleted, ERRORS: Error},
    auth=require_scope(Scope.CHAT),
)
def delete_session(
    request: HttpRequest, session: Annotated[str, Path(description="The session's id or name.")]
) -> Deleted:
    """Move a session to the trash, from which its user can restore it for a while."""
    chat_session = find_session(user_of(request), session)
    trash.trash_session(chat_session)
    return Deleted(
        status="success",
        session_id=_id_or_name(chat_session, session),
        message="The session was deleted.",
    )


@router.get(
    "/messages/{message_id}",
    response={200: SessionMessage, ERRORS: Error},
    auth=require_scope(Scope.READ),
)
def read_message(request: HttpRequest, message_id: str) -> SessionMessage:
    """Read one message from a session of the key's user."""
    own = Message.objects.filter(session__in=Session.objects.for_user(user_of(request)))
    pk = parse_uuid(message_id)
    row = None if pk is None else own.without_payloads().filter(pk=pk).first()
    if row is None:
        raise ApiError(404, "message_not_found", "There is no such message.")
    return SessionMessage(**_message(row), session_id=str(row.session_id))


def _id_or_name(chat_session: Session, reference: str) -> str:
    """The session's id if that was the reference, in any notation; otherwise its name."""
    return str(chat_session.pk) if parse_uuid(reference) == chat_session.pk else reference


def _with_facts(sessions: SessionQuerySet) -> SessionQuerySet:
    """Add the agent, and the number of messages as `message_count`."""
    rows = sessions.with_message_count().select_related("agent")
    return rows.defer("metadata", "agent__system_prompt", "agent__config")


def _summary(chat_session: Session, *, message_count: int | None = None) -> dict[str, Any]:
    row: Any = chat_session
    return {
        "session_id": str(row.pk),
        "session_name": encodable(row.name),
        "created_at": row.created_at,
        "last_updated": row.updated_at,
        "message_count": row.message_count if message_count is None else message_count,
        "user_id": _text(row.user_id),
        "agent_id": row.agent_id,
        "agent_name": encodable(row.agent.name) if row.agent else None,
        "session_origin": encodable(row.platform),
    }


def _message(row: Message, *, hide_tools: bool = False) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "role": row.role,
        "content": encodable(row.text_content),
        "created_at": row.created_at,
        "message_type": encodable(row.message_type),
        "tool_calls": {} if hide_tools else _by_number(row.tool_calls),
        "tool_outputs": {} if hide_tools else _by_number(row.tool_outputs),
        "agent_id": row.agent_id,
        "user_id": _text(row.user_id),
        "run_id": _text(row.run_id),
        "chosen": row.set_aside_with is None,
    }


def _by_number(column: object) -> dict[str, Any]:
    entries = tool_entries(column)
    return {str(number): encodable_json(entry) for number, entry in enumerate(entries)}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _system_prompt(chat_session: Session) -> str | None:
    """The session's own system prompt, or its agent's."""
    prompts = Message.objects.chosen().filter(session=chat_session, role=Message.Role.SYSTEM)
    own = prompts.order_by("-position").values_list("text_content", flat=True).first()
    agent = chat_session.agent
    return own or (agent.system_prompt if agent else None) or None
