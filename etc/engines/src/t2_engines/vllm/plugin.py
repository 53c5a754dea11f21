"""vLLM's endpoint plugin `t2`: the protocol's routes in vLLM's API server, without its development mode.

Beside the protocol it has GET /t2/state and POST /t2/swap {"mixture": DIGEST | null}. The routes by which a client could load
and unload adapters itself are answered 403: what is served is t2d's affair, and `resolver` loads it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from t2_engines import server, wire
from t2_engines.server import Engine
from t2_engines.vllm.engine import Served, VLLMEngine
from t2_engines.wire import EngineError

#: Below vLLM's own logger, whose handlers the messages so reach.
log = logging.getLogger("vllm.t2_engines")

_CLOSED = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
#: The same under another name, which vLLM adds behind the plugins.
_REMOVED = ("/adapters", "/adapters/{adapter_name}")


class SwapRequest(wire._Request):
    mixture: wire.Mixture | None


class _Later(Engine):
    """Stands for the engine in the routes, which vLLM attaches before it has one."""

    def __init__(self) -> None:
        self.engine: VLLMEngine | None = None
        self.failed: EngineError | None = None

    @property
    def here(self) -> VLLMEngine:
        if self.failed is not None:
            raise self.failed
        if self.engine is None:
            raise EngineError("not_ready", "vLLM is starting: its API server is not done")
        return self.engine

    async def facts(self) -> wire.Facts:
        return await self.here.facts()

    async def file(self, name: str) -> bytes:
        return await self.here.file(name)

    async def sigma(self) -> Any:
        return await self.here.sigma()

    async def put(self, digest: str, multipliers: Any) -> list[str]:
        return await self.here.put(digest, multipliers)

    async def delete(self, digest: str) -> None:
        await self.here.delete(digest)

    async def score(self, request: wire.ScoreRequest) -> server.ScoreAnswer:
        return await self.here.score(request)

    async def logits(self, request: wire.LogitsRequest) -> server.LogitsAnswer:
        return await self.here.logits(request)

    def generate(self, request: wire.GenerateRequest) -> Any:
        return self.here.generate(request)

    async def gradient(self, request: wire.GradientRequest) -> server.GradientAnswer:
        return await self.here.gradient(request)

    def mixture_digest(self, multipliers: Any) -> str:
        return self.here.mixture_digest(multipliers)


def extra_routes(engine: _Later) -> list[Route]:
    """The two routes beside the protocol."""

    async def state(request: Request) -> Response:
        return JSONResponse(await engine.here.state())

    async def swap(request: Request) -> Response:
        asked = wire.parse(SwapRequest, await request.body())
        return JSONResponse(await engine.here.swap(asked.mixture))

    def answering(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                found = server.as_engine_error(error)
                return JSONResponse(found.body(), found.status)

        return answer

    return [
        Route("/t2/state", answering(state), methods=["GET"]),
        Route("/t2/swap", answering(swap), methods=["POST"]),
    ]


class Plugin:
    """vLLM makes one, attaches its routes, and then gives it the engine."""

    name = "t2"
    required_tasks = ("generate",)

    def __init__(self) -> None:
        self.engine = _Later()
        self._tasks: set[asyncio.Task[None]] = set()
        self._app: Any = None

    def attach_router(self, app: Any) -> None:
        self._app = app
        app.router.routes.extend(extra_routes(self.engine))
        server.add_routes(app, self.engine)

        async def closed() -> JSONResponse:
            return JSONResponse(
                {
                    "error": {
                        "message": "adapters of this engine are t2d's mixtures: name a task or a mixture as the "
                        "model, and it is loaded",
                        "type": "Forbidden",
                        "code": 403,
                    }
                },
                403,
            )

        for path in _CLOSED:  # FastAPI's own routes: only such replace vLLM's
            app.add_api_route(path, closed, methods=["POST"])

    async def init_state(self, engine_client: Any, state: Any, args: Any) -> None:
        from t2_engines.vllm import patches
        from t2_engines.vllm.binding import VLLMBinding
        from t2_engines.vllm.resolver import RESOLVER
        from t2_engines.vllm.targets import Settings

        routes = self._app.router.routes
        routes[:] = [route for route in routes if getattr(route, "path", None) not in _REMOVED]
        config = engine_client.vllm_config
        try:
            settings = Settings.of(config)
        except (ValueError, TypeError) as error:
            self.engine.failed = EngineError("not_armed", str(error))
            log.error("t2-engines: %s", error)
            return
        engine = VLLMEngine(engine_client, VLLMBinding(), settings, Served.of(config, patches.version()))
        self.engine.engine = engine
        self._keep(engine.start())
        self._keep(RESOLVER.follow(getattr(state, "openai_serving_models", None), engine))

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
