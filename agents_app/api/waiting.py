"""Waits for the answer to a message that has been stored.

Clients automatically retry requests after status 408, 409, 429, and any from 500 on: the openai
package unless X-Should-Retry forbids it, the Vercel AI SDK and gateways regardless of headers. The
message would then be stored again, in another session. So nothing is raised here.
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

# How much longer than the time limit of runs to wait, and how long to try to read the answer.
SPARE_SECONDS = 15


def wait_for_answer(run: AgentRun) -> RunAnswer:
    """Wait until a run has ended; returns its answer, or a failure if there is none yet."""
    connections.close_all()  # hold none while waiting
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
        # Channels show this to people.
        message="The answer is taking longer. It will be in this session when it is ready.",
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
