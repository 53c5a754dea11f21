"""The resolver over a real socket with a scripted t2d behind it, and over what vLLM does with a resolver, in the words of its
source: names are remembered once they are loaded, and never asked for again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from t2_engines.vllm import resolver
from t2_engines.vllm.adapters import CONFIGURATION
from t2_engines.vllm.resolver import Resolver

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@dataclass
class FakeT2d:
    """Answers adapter.resolve on a socket."""

    path: Path
    served: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    #: In place of an answer.
    raw: bytes | None = None
    silent: bool = False
    server: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        self.server = await asyncio.start_unix_server(self._serve, self.path / "t2d.sock")

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()
        self.writers.clear()
        await self.server.wait_closed()
        (self.path / "t2d.sock").unlink(missing_ok=True)

    def directory(self, digest: str) -> Path:
        made = self.path / "adapters" / digest[7:]
        made.mkdir(parents=True, exist_ok=True)
        (made / CONFIGURATION).write_text(json.dumps({"t2": {"kind": "svf-slot", "digest": digest}}))
        return made

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while line := await reader.readline():
            request = json.loads(line)
            self.asked.append(request)
            name = request["params"]["name"]
            if self.silent:
                continue
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
            if name in self.served:
                digest = self.served[name]
                answer["result"] = {
                    "path": str(self.directory(digest)),
                    "digest": digest,
                    "name": name,
                }
                # Of what a task serves, and of nothing else.
                if name == "arc":
                    answer["result"]["generation"] = 7
            else:
                answer["error"] = {
                    "code": 1,
                    "message": f"no task or expert '{name}'",
                    "data": {"kind": "unknown_name"},
                }
            writer.write(self.raw if self.raw is not None else json.dumps(answer).encode() + b"\n")


class FakeModels:
    """vLLM's OpenAIServingModels.resolve_lora."""

    def __init__(self, found: Resolver) -> None:
        self.resolver = found
        self.lora_requests: dict[str, Any] = {}
        self.locks: dict[str, asyncio.Lock] = {}
        self.loads = 0

    async def request(self, name: str) -> str | None:
        async with self.locks.setdefault(name, asyncio.Lock()):
            if name not in self.lora_requests:
                found = await self.resolver.resolve("/models/tiny", name)
                if found is None:
                    return None
                self.loads += 1
                await asyncio.sleep(0)
                self.lora_requests[name] = SimpleNamespace(path=found.path)
            path: str = self.lora_requests[name].path
            return "sha256:" + Path(path).name


@dataclass
class FakeEngine:
    ready: bool = True


def on_t2d(test: Callable[[FakeT2d, Resolver, FakeModels, FakeEngine], Coroutine[Any, Any, None]], path: Path) -> None:
    async def run() -> None:
        t2d = FakeT2d(path, {"arc": A})
        await t2d.start()
        found = Resolver(str(path / "t2d.sock"), follow_seconds=3600)
        models, engine = FakeModels(found), FakeEngine()
        following = asyncio.ensure_future(found.follow(models, engine))
        await asyncio.sleep(0)
        try:
            await test(t2d, found, models, engine)
        finally:
            following.cancel()
            found._t2d.close()
            await t2d.stop()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_name_is_what_t2d_says(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        assert await asyncio.gather(*(models.request("arc") for _ in range(50))) == [A] * 50
        assert models.loads == 1 and len(t2d.asked) == 1
        assert t2d.asked[0]["params"] == {"engine_model": "/models/tiny", "name": "arc"}

    on_t2d(test, tmp_path)


def test_an_expert_and_a_mixture_of_ones_own_have_no_generation(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        t2d.served["science@2"] = t2d.served["math=0.5+science=0.5"] = A
        assert await models.request("science@2") == A
        assert await models.request("math=0.5+science=0.5") == A

    on_t2d(test, tmp_path)


def test_a_name_that_t2d_does_not_know_is_nothing_and_many_use_one_connection(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        for name in ("nope", "../../etc/passwd", "/etc", "x\ny", "x" * 2000):
            assert await models.request(name) is None
        assert [request["params"]["name"] for request in t2d.asked] == ["nope", "../../etc/passwd", "/etc", "x\ny"], (
            "the last is too long to ask"
        )
        assert t2d.connections == 1

    on_t2d(test, tmp_path)


def test_nothing_is_resolved_while_a_rank_is_not_armed(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        engine.ready = False
        assert await models.request("arc") is None and not t2d.asked
        engine.ready = True
        assert await models.request("arc") == A
        unfollowed = Resolver(str(tmp_path / "t2d.sock"))
        assert await unfollowed.resolve("/models/tiny", "arc") is None, "nor before the plugin has the engine"

    on_t2d(test, tmp_path)


def test_what_is_served_anew_is_resolved_anew(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        assert await models.request("arc") == A
        await found.ask_again()
        assert await models.request("arc") == A and models.loads == 1
        t2d.served["arc"] = B
        assert await models.request("arc") == A, "vLLM itself never asks again"
        await found.ask_again()
        assert await models.request("arc") == B
        del t2d.served["arc"]
        await found.ask_again()
        assert await models.request("arc") is None

    on_t2d(test, tmp_path)


def test_following_asks_by_itself(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, _: Resolver, __: FakeModels, engine: FakeEngine) -> None:
        found = Resolver(str(tmp_path / "t2d.sock"), follow_seconds=0.01)
        models = FakeModels(found)
        following = asyncio.ensure_future(found.follow(models, engine))
        await asyncio.sleep(0)
        assert await models.request("arc") == A
        t2d.served["arc"] = B
        while "arc" in models.lora_requests:
            await asyncio.sleep(0.001)
        following.cancel()
        assert await models.request("arc") == B
        found._t2d.close()

    on_t2d(test, tmp_path)


def test_a_change_while_vllm_loads_the_old_one_is_met_in_the_next_round(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        old = await found.resolve("/models/tiny", "arc")  # vLLM is loading it
        assert old is not None
        t2d.served["arc"] = B
        await found.ask_again()
        models.lora_requests["arc"] = SimpleNamespace(path=old.path)  # now it has it
        await found.ask_again()
        assert await models.request("arc") == B

    on_t2d(test, tmp_path)


def test_while_t2d_is_away_what_is_loaded_is_served_and_the_rest_is_unknown_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        assert await models.request("arc") == A
        await t2d.stop()
        with caplog.at_level(logging.WARNING):
            for name in ("math", "math", "arc"):
                await models.request(name)
            await found.ask_again()
        assert await models.request("arc") == A and await models.request("math") is None
        t2d.served["math"] = B
        await t2d.start()
        assert await models.request("math") == B, "a new t2d is connected to by itself"

    on_t2d(test, tmp_path)
    assert len([record for record in caplog.records if "t2d.sock" in record.getMessage()]) == 1, "said once"


def test_a_t2d_that_does_not_answer_costs_a_quarter_of_a_second_and_its_late_answer_is_nobodys(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        t2d.silent = True
        before = asyncio.get_running_loop().time()
        assert await models.request("arc") is None
        assert asyncio.get_running_loop().time() - before < 5 * resolver.DEADLINE_SECONDS
        t2d.silent = False
        assert await models.request("arc") == A and t2d.connections == 2

    on_t2d(test, tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        b"no json\n",
        b"[]\n" * 3 + b'{"id": 1}\n',
        b'{"id": 1, "result": {"path": "relative", "digest": "' + A.encode() + b'", "generation": 1}}\n',
        b'{"id": 1, "result": {"path": "/x", "digest": "abc", "generation": 1}}\n',
        b'{"id": 1, "result": {"path": "/nowhere", "digest": "' + A.encode() + b'", "generation": 1}}\n',
        b'{"id": 1, "result": {}}\n',
        b"x" * (resolver._LARGEST_ANSWER + 10) + b"\n",
    ],
    ids=["no-json", "no-result", "relative", "no-digest", "no-directory", "empty", "endless"],
)
def test_an_answer_that_is_none_is_no_exception(tmp_path: Path, raw: bytes) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        t2d.raw = raw
        assert await models.request("arc") is None

    on_t2d(test, tmp_path)


def test_a_directory_of_another_mixture_than_t2d_says_is_not_loaded(tmp_path: Path) -> None:
    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        t2d.directory(B)
        (tmp_path / "adapters" / A[7:]).symlink_to(tmp_path / "adapters" / B[7:])
        t2d.directory = lambda digest: tmp_path / "adapters" / A[7:]  # type: ignore[method-assign]
        assert await models.request("arc") is None

    on_t2d(test, tmp_path)


def test_names_are_capped_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MOST_NAMES", 3)

    async def test(t2d: FakeT2d, found: Resolver, models: FakeModels, engine: FakeEngine) -> None:
        for name in ("a", "b", "c", "d", "e"):
            t2d.served[name] = A
            await models.request(name)
        assert list(models.lora_requests) == ["c", "d", "e"]
        models.lora_requests["left"] = SimpleNamespace(path="/x")
        await found.ask_again()
        assert list(models.lora_requests) == ["c", "d", "e"], "a name that nobody follows is not kept"

    on_t2d(test, tmp_path)
