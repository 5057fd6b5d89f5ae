"""Dispatches runs: to this process, or to workers on any machine (ANSWERS_IN).

A process has one event loop for its workers: the web server's, where the watchers are, or
under WSGI one in a separate thread. A worker keeps nothing of the request that started it.
"""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import cache, partial
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import transaction

from agents_app.llm import clients
from agents_app.models import AgentRun
from agents_app.runs import liveness, saver, storage, watching
from agents_app.runs.concurrency import Slots, has_room
from agents_app.runs.db_threads import UNAVAILABLE_ERRORS, run_in_db_thread_with_retries
from agents_app.runs.local_broadcast import close_broadcast, open_broadcast
from agents_app.runs.run_worker import CancelReason, RunWorker

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long an exiting process waits until the ends of its runs are stored, after the
# AGENT_GRACE_SECONDS in which they may finish.
_SHUTDOWN_TIMEOUT = 5
# How often a run checks whether it is its turn, while others of its user run in other processes.
_TURN_INTERVAL = 0.5


def start_run(run: AgentRun) -> None:
    """Have a new run answered once the current transaction is committed.

    With workers, its job is committed with it.
    """
    if settings.ANSWERS_IN == "workers":
        from agents_app.runs import queue

        queue.defer(run)
    else:
        must_wait = not has_room(run)
        transaction.on_commit(partial(submit, run.pk, run.user_id, run, must_wait=must_wait))


def submit(
    run_id: UUID, user_id: int | None, run: AgentRun | None = None, *, must_wait: bool = False
) -> None:
    """Work in this process on a run that has been committed; returns immediately.

    `run` is the run with its message and agent as they are now; without it, they are read. If it
    must wait, it starts when enough others of its user have ended, in any process.
    """
    worker = _open(run_id, attempt=0, loop=_loop())
    work = _work_in_slot(worker, user_id, run, must_wait)
    # An empty context: the work outlives the request, and must not use what belongs to it.
    contextvars.Context().run(asyncio.run_coroutine_threadsafe, work, worker.loop)


async def work_on(run_id: UUID) -> None:
    """Work on a run from the queue, in this event loop, until it has ended.

    When it is cancelled, the run is requeued before CancelledError is raised.
    """
    run = await run_in_db_thread_with_retries(storage.claim, run_id)
    if run is None:
        return
    worker = _open(run_id, run.attempt, asyncio.get_running_loop())
    work = asyncio.create_task(_work(worker, run))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        worker.cancel(CancelReason.REQUEUED)
        await work
        raise


def concurrency_slot(user_id: int | None) -> AbstractAsyncContextManager[bool]:
    """A user's slot in this event loop, for an answer that is not stored as a run."""
    return _slots.setdefault(asyncio.get_running_loop(), Slots()).slot(user_id)


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the event loop of this process's workers, and wait for its result."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


def cancel(run_id: UUID) -> None:
    """Cancel this process's work on a run that has been stopped, if there is any."""
    worker = _workers.get(run_id)
    if worker is not None:
        worker.loop.call_soon_threadsafe(worker.cancel)


def process_id() -> UUID | None:
    """The process that a new run belongs to; None when a worker is to claim it."""
    if settings.ANSWERS_IN == "workers":
        return None
    liveness.start()
    return liveness.process_id()


def use_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Use the event loop of the web server; called when it starts."""
    global _server_loop
    _server_loop = loop


def warm_up() -> None:
    """Import what workers need, which takes about a second, so that no run waits for it."""
    import agents_app.agents  # noqa: F401 - imported for later importers

    clients.import_library()


async def shut_down() -> None:
    """Let the runs of this process end, and interrupt those that take longer."""
    workers = list(_workers.values())
    await _wait_for_all(workers, settings.AGENT_GRACE_SECONDS)
    for worker in workers:
        worker.loop.call_soon_threadsafe(worker.cancel, CancelReason.INTERRUPTED)
    await _wait_for_all(workers, _SHUTDOWN_TIMEOUT)
    await asyncio.to_thread(watching.stop)


async def _wait_for_all(workers: list[RunWorker], seconds: float) -> None:
    await asyncio.gather(*(watching.wait(worker.run_id, seconds) for worker in workers))


_workers: dict[UUID, RunWorker] = {}
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, Slots] = WeakKeyDictionary()
_server_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    if _server_loop is not None:
        return _server_loop
    with _loop_lock:
        return _loop_in_thread()


@cache
def _loop_in_thread() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="runs", daemon=True).start()
    return loop


def _open(run_id: UUID, attempt: int, loop: asyncio.AbstractEventLoop) -> RunWorker:
    # A process that was wrongly presumed dead may claim a run that it is still working on.
    cancel(run_id)
    worker = RunWorker(run_id, attempt, open_broadcast(run_id), loop)
    _workers[run_id] = worker
    liveness.start()
    saver.add(worker)
    return worker


async def _work_in_slot(
    worker: RunWorker, user_id: int | None, run: AgentRun | None, must_wait: bool
) -> None:
    async with AsyncExitStack() as stack:
        turn = _take_slot(worker, user_id, stack, must_wait)
        has_waited = await worker.unless_cancelled(turn)
        # After a wait, the run is read again: it may have changed.
        await _work(worker, run if has_waited is False else None)


async def _take_slot(
    worker: RunWorker, user_id: int | None, stack: AsyncExitStack, must_wait: bool
) -> bool:
    """Wait until the run may be worked on while `stack` is open; returns whether it had to."""
    slots = _slots.setdefault(worker.loop, Slots())
    on_wait = partial(worker.broadcast.set_waiting, True)
    if must_wait:
        on_wait()
    has_waited = await stack.enter_async_context(slots.slot(user_id, on_wait=on_wait))
    if must_wait:
        with suppress(*UNAVAILABLE_ERRORS):  # the work itself meets and records the same error
            while not await run_in_db_thread_with_retries(storage.may_start, worker.run_id):
                await asyncio.sleep(_TURN_INTERVAL)
    worker.broadcast.set_waiting(False)
    return has_waited or must_wait


async def _work(worker: RunWorker, run: AgentRun | None = None) -> None:
    try:
        await worker.work(run)
    except UNAVAILABLE_ERRORS:
        logger.exception("The end of run %s could not be stored", worker.run_id)
        await worker.fail("The answer could not be stored. Try again.")
    except Exception:
        logger.exception("Run %s failed unexpectedly", worker.run_id)
        await worker.fail("Something went wrong. Try again.")
    finally:
        if _workers.get(worker.run_id) is worker:
            del _workers[worker.run_id]
        saver.remove(worker)
        close_broadcast(worker.run_id, worker.broadcast, worker.outcome)
