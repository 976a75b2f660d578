"""Work that cannot be cancelled, beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(
    work: Callable[[], T], *, raises: type[Exception] | tuple[type[Exception], ...]
) -> T:
    """Do blocking work in a thread that neither a pool nor the interpreter's end waits for.

    raises: what the work may raise, handed on to the caller. Anything else shows in the thread's own
    traceback, and here as RuntimeError.
    The caller may give up at any time; the work goes on, unheard.
    """
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()  # from here on only the thread decides what it becomes

    def carry_out() -> None:
        try:
            outcome.set_result(work())
        except raises as problem:
            outcome.set_exception(problem)
        finally:
            if not outcome.done():
                outcome.set_exception(RuntimeError("work in a thread broke; its traceback says where"))

    threading.Thread(target=carry_out, name="work", daemon=True).start()
    return await asyncio.wrap_future(outcome)
