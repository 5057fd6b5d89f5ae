"""The start and the end of the web server, as the lifespan protocol of ASGI tells of them."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any


async def lifespan(receive: Any, send: Any) -> None:
    """No start with a wrong AGENT_MODEL, a quick first run, and a good end for the last ones."""
    from agents_app import liveness, runner
    from agents_app.checks import check_agent_model

    while (await receive())["type"] == "lifespan.startup":
        if errors := await asyncio.to_thread(check_agent_model):
            await send({"type": "lifespan.startup.failed", "message": errors[0].msg})
            return
        runner.work_in(asyncio.get_running_loop())
        asyncio.get_running_loop().run_in_executor(None, runner.warm_up)
        liveness.start()
        _when_told_to_stop(runner.quit_all)
        await send({"type": "lifespan.startup.complete"})
    await runner.quit_all()
    await asyncio.to_thread(liveness.stop)
    await send({"type": "lifespan.shutdown.complete"})


def _when_told_to_stop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do the work as soon as the process is told to stop.

    The server says so to the application when all responses have ended. Those that stream an
    answer only end when that does.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # Python hears signals in the main thread only
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []  # the loop does not hold on to them

    def start() -> None:
        tasks.append(loop.create_task(work()))

    def heard(server: Callable[..., object]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(start)
            server(number, frame)

        return handle

    for number in (signal.SIGINT, signal.SIGTERM):
        server = signal.getsignal(number)
        if callable(server):
            signal.signal(number, heard(server))
