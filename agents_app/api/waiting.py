"""Waiting for the answer to a message that is stored.

Clients repeat by themselves what is answered with 408, 409, 429 or a status from 500 on: the openai
package unless X-Should-Retry forbids it, the Vercel AI SDK and gateways whatever the headers say.
The message would then be stored once more, in another session. So nothing is raised here.
"""

import asyncio
import logging
from uuid import UUID

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connections

from agents_app.api.response_schemas import RunAnswer
from agents_app.api.run_serializers import read_answer
from agents_app.models import AgentRun
from agents_app.runs import watching
from agents_app.runs.db_threads import run_in_db_thread_with_retries

logger = logging.getLogger(__name__)

# Longer than any run, which has a time limit; and how long an answer is looked for.
SPARE_SECONDS = 15


def wait_for_answer(run: AgentRun) -> RunAnswer:
    """The answer of a run, when it has ended, or else one without success that says so."""
    connections.close_all()  # none is held while waiting
    try:
        answer = async_to_sync(_wait_and_read)(run.pk)
    except Exception:
        logger.exception("The answer of run %s cannot be read", run.pk)
        answer = None
    return answer or _no_answer_yet(run)


async def _wait_and_read(run_id: UUID) -> RunAnswer | None:
    await watching.wait(run_id, settings.AGENT_TIME_LIMIT + SPARE_SECONDS)
    async with asyncio.timeout(SPARE_SECONDS):
        return await run_in_db_thread_with_retries(read_answer, run_id)


def _no_answer_yet(run: AgentRun) -> RunAnswer:
    return RunAnswer(
        # Channels show it to people.
        message="The answer takes longer. It will be in this session when it is there.",
        session_id=str(run.session_id),
        success=False,
        status=run.status,
        tool_calls=[],
        tool_outputs=[],
        user_id=None if run.user_id is None else str(run.user_id),
        usage=None,
        truncated=False,
        message_id=None,
        run_id=str(run.pk),
    )
