"""The HTTP server of the protocol, over any engine.

`add_routes` puts the routes of t2-engine(7) into a Starlette or FastAPI application, or into a router of either; `serve`
runs them alone, on a Unix socket or on loopback. Everything here runs in the event loop and computes nothing: engines do so
in their own thread or process, so that facts and errors are answered meanwhile.

Whoever closes its connection has its request cancelled: the engine's coroutine is cancelled, its stream closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import stat
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import uvicorn
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from t2_engines import wire
from t2_engines.wire import (
    EngineError,
    Facts,
    GenerateRequest,
    GradientRequest,
    LogitsRequest,
    ReadBack,
    ScoreRequest,
    Scores,
    bad_request,
)

log = logging.getLogger("t2_engines")

#: The largest body of a request; a vector of a 70B model has 14 MB.
LARGEST_BODY = 256 << 20
#: Who may connect to the socket: its owner and its group.
SOCKET_MODE = 0o660
#: Drivers hold connections open between searches.
KEEP_ALIVE_SECONDS = 3600
#: How long requests that run may take to end after SIGTERM.
GRACE_SECONDS = 5

Result = TypeVar("Result")
Asked = TypeVar("Asked", bound=BaseModel)


@dataclass(frozen=True)
class ScoreAnswer:
    scores: Scores
    mixtures: ReadBack


@dataclass(frozen=True)
class LogitsAnswer:
    logits: npt.NDArray[np.float32]  # (vocabulary)
    mixtures: ReadBack


@dataclass(frozen=True)
class GradientAnswer:
    scores: Scores
    divergences: list[list[float]] | None
    mixtures: ReadBack
    gradient: npt.NDArray[np.float32] | None  # (multipliers)


class Engine(ABC):
    """What a server of the protocol needs of an engine.

    Every method runs in the event loop, must not block it, and raises EngineError; anything else that it raises is answered as
    `internal` and logged. Requests are checked against `facts` before they come here, mixtures are not: an engine raises
    `wire.unknown_mixture`, and passes what it read back through `wire.checked_read_back`.
    """

    @abstractmethod
    async def facts(self) -> Facts:
        """`not_ready` while there are none yet."""

    @abstractmethod
    async def file(self, name: str) -> bytes:
        """The content of a file of `facts().files`."""

    @abstractmethod
    async def sigma(self) -> npt.NDArray[np.float64]:
        """All singular values, flat in the order of a multiplier vector."""

    @abstractmethod
    async def put(self, digest: str, multipliers: npt.NDArray[np.float32]) -> list[str]:
        """Keeps a mixture, whose digest was compared with its numbers, and gives the digest read back on each rank."""

    @abstractmethod
    async def delete(self, digest: str) -> None:
        """Forgets a mixture, where it is there."""

    @abstractmethod
    async def score(self, request: ScoreRequest) -> ScoreAnswer: ...

    @abstractmethod
    async def logits(self, request: LogitsRequest) -> LogitsAnswer: ...

    @abstractmethod
    def generate(self, request: GenerateRequest) -> AsyncGenerator[dict[str, Any], None]:
        """The lines of the stream: `mixtures`, each `token`, `end`. What it raises before its first line is an answer with
        that status, what it raises later its last line. Closed (`aclose`) where the client goes away."""

    @abstractmethod
    async def gradient(self, request: GradientRequest) -> GradientAnswer: ...

    @abstractmethod
    def mixture_digest(self, multipliers: npt.NDArray[np.float32]) -> str:
        """The digest of a vector in this model's layout, whose length was compared with it."""


def add_routes(application: Any, engine: Engine, largest_body: int = LARGEST_BODY) -> None:
    """Adds the routes to a Starlette or FastAPI application or router. They come last: nothing there may catch /t2/ before."""
    getattr(application, "router", application).routes.extend(routes(engine, largest_body))


def routes(engine: Engine, largest_body: int = LARGEST_BODY) -> list[Route]:
    """The routes of the protocol, over an engine."""

    async def facts(request: Request) -> Response:
        await _without_body(request)
        return _json((await engine.facts()).model_dump())

    async def file(request: Request) -> Response:
        await _without_body(request)
        name = request.path_params["name"]
        known = (await engine.facts()).files
        if name not in known:
            raise EngineError("not_found", f"the model has no file '{name[:80]}'; it has {', '.join(known) or 'none'}")
        return Response(await engine.file(name), media_type="application/octet-stream")

    async def sigma(request: Request) -> Response:
        await _without_body(request)
        values = np.ascontiguousarray(await engine.sigma(), dtype="<f8")
        return Response(values.tobytes(), media_type="application/octet-stream")

    async def put(request: Request) -> Response:
        digest = wire.check_digest(request.path_params["digest"])
        body = await _body(request, largest_body)
        known = await engine.facts()
        _, multipliers = await _parsed(body, wire.parse_frame, wire.Nothing)
        wire.check_multipliers(multipliers, sum(min(target.rows, target.columns) for target in known.targets))
        found = engine.mixture_digest(multipliers)
        if found != digest:
            raise bad_request(
                f"the multipliers have digest {found}, not {digest}; are they of another model, or in another order?"
            )
        ranks = await engine.put(digest, multipliers)
        wire.checked_read_back({digest: ranks})
        return _json({"mixture": digest, "ranks": ranks})

    async def delete(request: Request) -> Response:
        await _without_body(request)
        digest = wire.check_digest(request.path_params["digest"])
        await engine.facts()
        await engine.delete(digest)
        return _json({})

    async def score(request: Request) -> Response:
        asked = await _parsed(await _body(request, largest_body), wire.parse, ScoreRequest)
        wire.check_score(asked, await engine.facts())
        answer = await _while_connected(request, engine.score(asked))
        return _json({"scores": wire.scores_json(answer.scores), "mixtures": wire.checked_read_back(answer.mixtures)})

    async def logits(request: Request) -> Response:
        asked = await _parsed(await _body(request, largest_body), wire.parse, LogitsRequest)
        wire.check_logits(asked, await engine.facts())
        answer = await _while_connected(request, engine.logits(asked))
        return _frame({"mixtures": wire.checked_read_back(answer.mixtures)}, answer.logits)

    async def gradient(request: Request) -> Response:
        asked = await _parsed(await _body(request, largest_body), wire.parse, GradientRequest)
        wire.check_gradient(asked, await engine.facts())
        answer = await _while_connected(request, engine.gradient(asked))
        line = {
            "scores": wire.scores_json(answer.scores),
            "divergences": None if answer.divergences is None else wire.sums_json(answer.divergences),
            "mixtures": answer.mixtures,
        }
        return _frame(line, np.zeros(0, np.float32) if answer.gradient is None else answer.gradient)

    async def generate(request: Request) -> Response:
        asked = await _parsed(await _body(request, largest_body), wire.parse, GenerateRequest)
        wire.check_generate(asked, await engine.facts())
        lines = engine.generate(asked)
        # What fails before the first line has a status of its own.
        first = await _while_connected(request, anext(lines))
        return _Stream(first, lines)

    async def nothing(request: Request) -> Response:
        raise EngineError("not_found", f"there is no {request.method} {request.url.path[:80]} in the protocol")

    every = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]
    return [
        Route("/t2/facts", _answering(facts), methods=["GET"]),
        Route("/t2/files/{name}", _answering(file), methods=["GET"]),
        Route("/t2/sigma", _answering(sigma), methods=["GET"]),
        Route("/t2/mixtures/{digest}", _answering(put), methods=["PUT"]),
        Route("/t2/mixtures/{digest}", _answering(delete), methods=["DELETE"]),
        Route("/t2/score", _answering(score), methods=["POST"]),
        Route("/t2/logits", _answering(logits), methods=["POST"]),
        Route("/t2/generate", _answering(generate), methods=["POST"]),
        Route("/t2/gradient", _answering(gradient), methods=["POST"]),
        Route("/t2/{path:path}", _answering(nothing), methods=every),
    ]


def as_engine_error(error: BaseException) -> EngineError:
    """What is answered for an error: itself, or `internal` for a mistake of ours, which is logged with its trace."""
    if isinstance(error, EngineError):
        return error
    log.error("a request failed", exc_info=error)
    return EngineError("internal", f"{type(error).__name__}: {error}; the engine's log has more")


def _answering(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The handler with its errors answered; applications around it have handlers of their own, in other words."""

    async def answer(request: Request) -> Response:
        try:
            return await handle(request)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except Exception as error:
            found = as_engine_error(error)
            return _json(found.body(), found.status)

    return answer


def _json(value: Any, status: int = 200) -> Response:
    return Response(wire.dumps(value), status, media_type="application/json")


def _frame(line: dict[str, Any], numbers: npt.NDArray[np.float32]) -> Response:
    return Response(wire.frame(line, numbers), media_type=wire.FRAME_TYPE)


async def _body(request: Request, largest: int) -> bytes:
    declared = request.headers.get("content-length", "")
    too_large = f"the body has more than {largest} bytes, which is the most that is taken; ask in several requests"
    if declared.isdecimal() and int(declared) > largest:
        raise bad_request(too_large)
    content = bytearray()
    async for part in request.stream():
        if len(content) + len(part) > largest:
            raise bad_request(too_large)
        content += part
    return bytes(content)


async def _parsed(body: bytes, read: Callable[[type[Asked], bytes], Result], model: type[Asked]) -> Result:
    """Reads a body; a large one not in the event loop, which it would hold up."""
    return read(model, body) if len(body) < 1 << 20 else await asyncio.to_thread(read, model, body)


async def _without_body(request: Request) -> None:
    if await _body(request, 0):
        raise bad_request("this request has no body")


async def _while_connected(request: Request, work: Coroutine[Any, Any, Result] | Awaitable[Result]) -> Result:
    """The result of work, which is cancelled where the client closes its connection."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait({working})
        raise ClientDisconnect
    finally:
        working.cancel()
        watching.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Stream(Response):
    """Lines of JSON in chunks, which ends where the client goes away: then the engine's generator is closed."""

    media_type = wire.STREAM_TYPE

    def __init__(self, first: dict[str, Any], rest: AsyncGenerator[dict[str, Any], None]) -> None:
        self.status_code = 200
        self.background = None
        self.first = first
        self.rest = rest
        self.init_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [h for h in self.raw_headers if h[0] != b"content-length"],
            }
        )
        sending = asyncio.ensure_future(self._send(send))
        watching = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            watching.cancel()
            sending.cancel()
            await asyncio.wait({sending})
            await self.rest.aclose()

    async def _send(self, send: Send) -> None:
        async def line(value: dict[str, Any]) -> None:
            await send({"type": "http.response.body", "body": wire.dumps(value) + b"\n", "more_body": True})

        await line(self.first)
        try:
            async for value in self.rest:
                await line(value)
        except Exception as error:
            await line(as_engine_error(error).body())
        await send({"type": "http.response.body", "body": b"", "more_body": False})


# Running it.


class ListenError(Exception):
    """A socket that cannot be listened on, worded for who started the engine."""


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket of SOCKET_MODE. A socket file on which nobody listens, of an engine that died, is replaced."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(path))
                    raise ListenError(f"another process listens on '{path}'; end it, or name another path with --uds")
                except ConnectionRefusedError:
                    path.unlink()
        else:
            raise ListenError(f"'{path}' is there and is no socket; name another path with --uds")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ListenError(f"cannot listen on '{path}': {error}") from error
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The socket gets its mode as it is made: between a bind and a chmod everybody could connect.
    mask = os.umask(0o777 & ~SOCKET_MODE)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on '{path}': {error}") from error
    finally:
        os.umask(mask)
    listener.listen(128)
    return listener


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening socket on loopback: the protocol has no authentication."""
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise ListenError(
            f"'{host}' is not loopback; the protocol has no authentication, so listen on 127.0.0.1 and forward the port"
        )
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if host == "::1" else socket.AF_INET, backlog=128
        )
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {error}") from error


def serve(
    engine: Engine,
    listener: socket.socket,
    started: Callable[[], None] = lambda: None,
    largest_body: int = LARGEST_BODY,
) -> None:
    """Answers requests until SIGTERM or SIGINT, then ends those that run, and removes the socket. For the main thread.

    `started` is called once connections are taken.
    """
    name = listener.getsockname()
    application = Starlette()
    add_routes(application, engine, largest_body)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again once it has ended, which would end the process before what is left to do here.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}

    async def run() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            started()
        await serving

    try:
        asyncio.run(run())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()
        if isinstance(name, str):
            Path(name).unlink(missing_ok=True)
