"""The thread that computes. Event loops give it work and await the results; it shares itself among the works in turn.

A work is a generator: what lies between two of its yields is computed without a break, then another work has its turn. So a
long score holds up nobody's tokens, and whoever goes away is noticed at the next yield. No state of the thread (gradient
mode, hooks) may span a yield.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import torch

from t2_engines.wire import EngineError

Result = TypeVar("Result")
#: Yields between its steps, and returns its result.
Work = Generator[None, None, Result]

#: Works that wait beyond this many are refused.
LONGEST_QUEUE = 256


class _Job:
    def __init__(self, work: Work[Any], done: Callable[[Any, BaseException | None], None]) -> None:
        self.work = work
        self.done = done
        self.is_cancelled = False


class Worker:
    """Owns its thread, from `start` to `stop`. `run` is for event loops, the rest for whoever owns it."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._dead: EngineError | None = None
        # A daemon: a factorization cannot be interrupted, and shall not keep the process.
        self._thread = threading.Thread(target=self._main, name="compute", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_stopping(self) -> bool:
        """Whether whatever runs may end at once; for any thread."""
        return self._is_stopping

    def stop(self, seconds: float) -> bool:
        """Drops what waits, and waits for the step that runs; whether it ended in time."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def submit(self, work: Work[Any], done: Callable[[Any, BaseException | None], None]) -> _Job:
        """Queues a work. `done` is called in the compute thread, with its result or its error."""
        job = _Job(work, done)
        with self._changed:
            if self._dead is not None:
                raise self._dead
            if len(self._jobs) >= LONGEST_QUEUE:
                raise EngineError("overloaded", f"{len(self._jobs)} requests wait already; repeat this one later")
            self._jobs.append(job)
            self._changed.notify()
        return job

    async def run(self, work: Work[Result]) -> Result:
        """The result of a work. Cancelled, it is not gone on with."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def settle(result: Result, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def done(result: Any, error: BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:
                pass  # the loop has ended, and nobody waits

        job = self.submit(work, done)
        try:
            return await future
        finally:
            job.is_cancelled = True  # without effect where it is done

    def _main(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._is_stopping)
                if self._is_stopping:
                    return
                job = self._jobs.popleft()
            if self._step(job):
                with self._changed:
                    self._jobs.append(job)

    def _step(self, job: _Job) -> bool:
        """Whether there is more to do of it."""
        try:
            if job.is_cancelled:
                job.work.close()
                return False
            if self._dead is not None:
                raise self._dead
            next(job.work)
            return True
        except StopIteration as end:
            job.done(end.value, None)
        except BaseException as error:
            found = _worded(error)
            if isinstance(found, EngineError) and found.code == "dead":
                self._dead = found
            job.done(None, found)
        return False


def _worded(error: BaseException) -> BaseException:
    """The errors of torch that have a name in the protocol."""
    text = str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()
        return EngineError(
            "out_of_memory",
            f"no memory for what was asked: {text}; ask for less at once, or start the engine with a smaller --batch-tokens",
        )
    if isinstance(error, RuntimeError) and "CUDA error" in text:
        # The context of the device is lost for this process.
        return EngineError("dead", f"the device failed: {text}; restart the engine")
    return error
