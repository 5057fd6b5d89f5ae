"""The ASGI lifespan protocol: what happens when the web server starts and stops."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType
from typing import Any


async def lifespan(receive: Any, send: Any) -> None:
    """Refuse to start with an invalid AGENT_MODEL, warm up, and end the runs at shutdown."""
    from agents_app.checks import check_agent_model
    from agents_app.runs import dispatch, liveness, saver
    from agents_app.web.rendering.markdown import markdown

    await receive()  # lifespan.startup
    if errors := await asyncio.to_thread(check_agent_model):
        await send({"type": "lifespan.startup.failed", "message": errors[0].msg})
        return
    loop = asyncio.get_running_loop()
    dispatch.use_loop(loop)
    loop.run_in_executor(None, dispatch.warm_up)
    loop.run_in_executor(None, markdown, "")  # imports its libraries
    liveness.start()
    _on_stop_signal(dispatch.shut_down)
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await dispatch.shut_down()
    await asyncio.to_thread(saver.stop)
    await asyncio.to_thread(liveness.stop)
    await send({"type": "lifespan.shutdown.complete"})


def _on_stop_signal(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On SIGINT and SIGTERM, start `work` in the event loop, and then call the server's handler.

    uvicorn sends `lifespan.shutdown` only after all responses have ended, and a response that
    streams an answer ends only with its run.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may set signal handlers
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []  # the loop itself keeps only weak references

    def handle(server: Callable[..., object], number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(work())))
        server(number, frame)

    for number in (signal.SIGINT, signal.SIGTERM):
        server = signal.getsignal(number)
        if callable(server):
            signal.signal(number, partial(handle, server))
