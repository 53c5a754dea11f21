"""What answers in vLLM's place while the model is factorized and vLLM starts: `not_ready`, and how far it is."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any, NoReturn

import uvicorn
from starlette.applications import Starlette

from t2_engines import server
from t2_engines.server import Engine
from t2_engines.wire import EngineError


class Starting(Engine):
    """An engine that is not there yet. `say` is for any thread."""

    def __init__(self) -> None:
        self._now: tuple[str, float | None] = ("t2-vllm is starting", None)

    def say(self, doing: str, progress: float | None = None) -> None:
        self._now = (doing, progress)

    def _not_ready(self) -> NoReturn:
        doing, progress = self._now
        members = {} if progress is None else {"progress": progress}
        raise EngineError("not_ready", doing, **members)

    async def facts(self) -> Any:
        self._not_ready()

    async def file(self, name: str) -> Any:
        self._not_ready()

    async def sigma(self) -> Any:
        self._not_ready()

    async def put(self, digest: str, multipliers: Any) -> Any:
        self._not_ready()

    async def delete(self, digest: str) -> None:
        self._not_ready()

    async def score(self, request: Any) -> Any:
        self._not_ready()

    async def logits(self, request: Any) -> Any:
        self._not_ready()

    def generate(self, request: Any) -> Any:
        self._not_ready()

    async def gradient(self, request: Any) -> Any:
        self._not_ready()

    def mixture_digest(self, multipliers: Any) -> Any:
        self._not_ready()


class StandIn:
    """Serves a `Starting` on a socket's path, in a thread of its own, until vLLM's socket takes its place.

    vLLM listens on a path beside, which is renamed onto ours: there is no moment at which nobody answers.
    """

    def __init__(self, path: Path, engine: Starting) -> None:
        self.path = path
        self.beside = path.with_name(path.name + ".new")
        self.beside.unlink(missing_ok=True)
        self._listener = server.listen_unix(path)
        application = Starlette()
        server.add_routes(application, engine)
        config = uvicorn.Config(
            application, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()

    def hand_over(self) -> bool:
        """Gives the path to vLLM, where it listens by now. True once it has it."""
        if not self._thread.is_alive():
            return True
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.connect(str(self.beside))
            except OSError:  # not bound yet, or bound and not listening
                return False
        os.rename(self.beside, self.path)
        self._end()
        return True

    def close(self) -> None:
        """Ends, and leaves neither socket behind."""
        self._end()
        self.path.unlink(missing_ok=True)
        self.beside.unlink(missing_ok=True)

    def _end(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()
