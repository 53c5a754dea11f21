"""vLLM's LoRAResolver `t2`: a client of vLLM names as its model what t2d serves, and t2d says which mixture that is.

    a name that vLLM does not know  ->  adapter.resolve {engine_model, name} on t2d's socket  ->  {path, digest, generation}

vLLM asks once for a name and never again. So what was resolved is asked for anew every few seconds, and where t2d's answer is
another mixture, or none, vLLM is made to forget the name: the next request resolves, requests that run keep what they
have, and the new path has the new digest in it, so nothing cached is stale. While t2d is away what is loaded is served
on.

Nothing is resolved unless every rank is armed: an engine that is not would answer as the base. No path is made of a name. A
resolver's exception would end the client's request, so there is none.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import OrderedDict
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from t2_engines.vllm.adapters import CONFIGURATION
from t2_engines.wire import DIGEST

#: Below vLLM's own logger, whose handlers the messages so reach.
log = logging.getLogger("vllm.t2_engines")

DEFAULT_SOCKET = "/run/t2d/t2d.sock"
#: How long t2d may take to say what a name is.
DEADLINE_SECONDS = 0.25
#: How often what is served is asked for anew.
FOLLOW_SECONDS = 2.0
#: Names that are kept resolved; the oldest is forgotten for a further one.
MOST_NAMES = 256
LONGEST_NAME = 1024
_LARGEST_ANSWER = 1 << 20


class T2dError(Exception):
    """t2d's answer is an error: the name is nothing to it."""


@dataclass(frozen=True)
class Resolved:
    path: str
    digest: str
    #: Of what a task serves; an expert, and a mixture of one's own, has none.
    generation: int | None


class T2d:
    """A connection to t2d's socket, made when it is first asked and again where it broke. For one event loop; one question at
    a time."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self._numbers = count(1)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._asking = asyncio.Lock()

    async def resolve(self, engine_model: str, name: str) -> Resolved:
        """What a name is. Raises T2dError where t2d says that it is nothing, OSError and TimeoutError where t2d is away, and
        ValueError where the answer is not one."""
        async with asyncio.timeout(DEADLINE_SECONDS), self._asking:
            answer = await self._ask("adapter.resolve", {"engine_model": engine_model, "name": name})
        error, result = answer.get("error"), answer.get("result")
        if isinstance(error, dict):
            raise T2dError(str(error.get("message", "")))
        if not isinstance(result, dict):
            raise ValueError("t2d's answer has neither a result nor an error")
        path, digest, generation = (result.get(key) for key in ("path", "digest", "generation"))
        if not (isinstance(path, str) and isinstance(digest, str)):
            raise ValueError("t2d's answer lacks path or digest")
        if not (generation is None or isinstance(generation, int)):
            raise ValueError(f"t2d's answer has the generation {generation!r}, which is no number")
        if not os.path.isabs(path) or DIGEST.fullmatch(digest) is None:
            raise ValueError("t2d's answer has a path that is not absolute, or a digest that is none")
        return Resolved(path, digest, generation)

    async def _ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The answer's object. A connection that was kept and has ended since is made anew once: t2d may have been
        restarted."""
        kept = self._streams is not None
        try:
            return await self._asked(method, parameters)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            if not kept:
                raise ConnectionError(f"t2d's socket '{self.socket}': {error}") from error
        except BaseException:
            self.close()  # an answer that comes late must not be taken for another's
            raise
        return await self._ask(method, parameters)

    async def _asked(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self.socket, limit=_LARGEST_ANSWER)
        reader, writer = self._streams
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        writer.write(json.dumps(request).encode() + b"\n")
        await writer.drain()
        while True:
            try:
                answer = json.loads(await reader.readuntil(b"\n"))
            except asyncio.LimitOverrunError as error:
                raise ValueError(f"t2d's answer has more than {_LARGEST_ANSWER} bytes") from error
            if isinstance(answer, dict) and answer.get("id") == number:
                return answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Models(Protocol):
    """What is used of vLLM's OpenAIServingModels: the adapters that it knows by name."""

    lora_requests: dict[str, Any]


class Engine(Protocol):
    @property
    def ready(self) -> bool: ...


class Resolver:
    """One for a process; vLLM's own class is put around it by `register`. All in the API server's event loop."""

    def __init__(self, socket: str | None = None, follow_seconds: float = FOLLOW_SECONDS) -> None:
        self._t2d = T2d(socket or os.environ.get("T2D_SOCKET") or DEFAULT_SOCKET)
        self._follow_seconds = follow_seconds
        self._known: OrderedDict[str, tuple[str, Resolved]] = OrderedDict()
        self._models: Models | None = None
        self._engine: Engine | None = None
        self._last_trouble = ""

    async def resolve(self, engine_model: str, name: str) -> Resolved | None:
        """What a name is, or None; never an exception. Not before `follow`, nor while the engine is not ready."""
        try:
            if self._engine is None or self._models is None or not self._engine.ready or len(name) > LONGEST_NAME:
                return None
            found = await self._t2d.resolve(engine_model, name)
            await asyncio.to_thread(_check, found)
        except T2dError:
            return None  # not a name of t2d's
        except Exception as error:
            self._trouble(error, f"'{name[:80]}' could not be resolved")
            return None
        self._last_trouble = ""
        while len(self._known) >= MOST_NAMES and name not in self._known:
            oldest = next(iter(self._known))
            self._forget(oldest, f"more than {MOST_NAMES} names are in use")
            self._known.pop(oldest, None)
        self._known[name] = (engine_model, found)
        return found

    async def follow(self, models: Models | None, engine: Engine) -> None:
        """Makes vLLM forget names whose mixture has changed, until cancelled."""
        self._models, self._engine = models, engine
        while models is not None:
            await asyncio.sleep(self._follow_seconds)
            await self.ask_again()

    async def ask_again(self) -> None:
        """One round of `follow`."""
        assert self._models is not None
        for name in self._models.lora_requests.keys() - self._known.keys():
            self._forget(name, "it was put out for another")
        for name, (engine_model, before) in list(self._known.items()):
            try:
                now = await self._t2d.resolve(engine_model, name)
            except T2dError as error:
                self._forget(name, str(error))
            except Exception as error:
                self._trouble(error, "what is loaded is served on, since t2d cannot be asked what changed")
                return
            else:
                if now.digest != before.digest or now.path != before.path:
                    self._forget(name, f"it is {now.digest} now")

    def _forget(self, name: str, why: str) -> None:
        # One that vLLM is just loading has no entry yet, and is met in the next round.
        if self._models is not None and self._models.lora_requests.pop(name, None) is not None:
            self._known.pop(name, None)
            log.info("t2-engines: '%s' is resolved anew at its next request: %s", name[:80], why)

    def _trouble(self, error: Exception, consequence: str) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self._last_trouble:  # the same, for whichever name, is said once
            self._last_trouble = text
            log.warning("t2-engines: %s: %s", consequence, text)


def _check(found: Resolved) -> None:
    """Compares what t2d says with the directory that it names. The workers compare its numbers."""
    about = json.loads((Path(found.path) / CONFIGURATION).read_text(encoding="utf-8")).get("t2", {})
    if about.get("digest") != found.digest:
        raise ValueError(f"t2d says {found.digest}, and '{found.path}' says {about.get('digest')}")


RESOLVER = Resolver()


def register() -> None:
    """vLLM's entry point, called in every process of it. Connects to nothing."""
    from vllm.lora.request import LoRARequest
    from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry

    class T2Resolver(LoRAResolver):  # type: ignore[misc]
        async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
            found = await RESOLVER.resolve(base_model_name, lora_name)
            if found is None:
                return None
            return LoRARequest(lora_name=lora_name, lora_int_id=1, lora_path=found.path)  # vLLM gives it its number

    if "t2" not in LoRAResolverRegistry.get_supported_resolvers():
        LoRAResolverRegistry.register_resolver("t2", T2Resolver())
