"""Serializes runs: their state and their answer."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from agents_app.api.response_schemas import RunAnswer, RunState, Usage
from agents_app.models import AgentRun
from sessions_app.displayable import encodable_json
from sessions_app.models import Message
from sessions_app.tool_columns import tool_entries

# No request should wait for the import of the agent library, which takes a second.
if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage


def read_answer(run_id: UUID) -> RunAnswer | None:
    """The answer of a run that has ended; None if it is active or was deleted. Two queries.

    If the run has failed, the message gives the reason.
    """
    run = AgentRun.objects.filter(pk=run_id).first()
    if run is None or run.is_active:
        return None
    rows = _answer_rows(run)
    texts = [row.text_content for row in rows if row.text_content and _is_text(row)]
    text = "\n\n".join(texts) or run.text
    return RunAnswer(
        message=text if run.has_answered else run.public_error or text,
        session_id=str(run.session_id),
        success=run.status == AgentRun.Status.DONE,
        status=run.status,
        tool_calls=_entries(row.tool_calls for row in rows),
        tool_outputs=_entries(row.tool_outputs for row in rows),
        user_id=None if run.user_id is None else str(run.user_id),
        usage=usage_of(run),
        truncated=run.truncated,
        message_id=str(rows[-1].pk) if rows else None,
        run_id=str(run.pk),
    )


def missing_text(answer: RunAnswer, followed: str) -> str:
    """The part of an answer after the text that was followed.

    A run of another process is read a few times a second, so that its last words are missing.
    """
    is_start = answer.success and answer.message.startswith(followed)
    return answer.message.removeprefix(followed) if is_start else ""


def read_tool_messages(run_id: UUID) -> "list[ModelMessage]":
    """The messages of a run with tool calls or their results. One query."""
    from agents_app.conversation import codec

    rows = Message.objects.filter(run=run_id).order_by("position")
    return codec.to_model_messages(row for row in rows if row.tool_calls or row.tool_outputs)


def run_state(run: AgentRun) -> RunState:
    """The state of a run, with its result if it has one."""
    answer = None if run.is_active else read_answer(run.pk)
    text = answer.message if answer and run.has_answered else run.text
    return RunState(
        run_id=str(run.pk),
        status=run.status,
        agent_name=run.agent.name if run.agent else None,
        session_id=str(run.session_id),
        created_at=run.created_at,
        started_at=run.started_at,
        completed_at=run.finished_at,
        result=(text or None) if run.has_answered else None,
        error=run.public_error or None,
        progress={"text": text},
    )


def usage_of(run: AgentRun) -> Usage | None:
    """The token counts of a run, if its model has reported them."""
    if run.input_tokens is None and run.output_tokens is None:
        return None
    return Usage(input_tokens=run.input_tokens, output_tokens=run.output_tokens, model=run.model)


def _answer_rows(run: AgentRun) -> list[Message]:
    rows = Message.objects.filter(run=run).order_by("position")
    return list(rows.without_payloads())


def _is_text(row: Message) -> bool:
    return row.role == Message.Role.ASSISTANT


def _entries(columns: Any) -> list[Any]:
    return [encodable_json(entry) for column in columns for entry in tool_entries(column)]
