"""The engine of vLLM over a fake of it: what it asks, what it believes, and one test for every way in which vLLM fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_vllm import CONTEXT, VOCABULARY, FakeVLLM, ln_p, make_engine
from starlette.applications import Starlette
from starlette.testclient import TestClient

from t2_engines import server
from t2_engines.layout import Multipliers
from t2_engines.vllm import mixtures
from t2_engines.vllm.engine import VLLMEngine
from t2_engines.wire import EngineError, GenerateRequest, ScoreRequest


def mixture(engine: VLLMEngine, seed: int) -> tuple[str, Multipliers]:
    count = sum(min(target.rows, target.columns) for target in engine._facts.targets)  # type: ignore[union-attr]
    numbers = np.random.default_rng(seed).normal(1, 0.5, count).astype(np.float32)
    return engine.mixture_digest(numbers), numbers


def asked(*items: tuple[list[int], list[list[int]], str | None]) -> ScoreRequest:
    return ScoreRequest.model_validate(
        {"items": [{"prompt": p, "continuations": c, "mixture": m} for p, c, m in items]}
    )


def on_engine(
    test: Callable[[VLLMEngine, FakeVLLM], Coroutine[Any, Any, None]], path: Path, start: bool = True, **knobs: Any
) -> None:
    """Runs a test's coroutine on an engine that has started."""

    async def run() -> None:
        engine, fake = make_engine(path, **knobs)
        if start:
            await engine.start()
            await engine.facts()
            fake.requests.clear()
            fake.calls.clear()
            fake.most_running = 0
        await test(engine, fake)

    asyncio.run(asyncio.wait_for(run(), 30))


async def code_of(work: Coroutine[Any, Any, Any]) -> tuple[str, str]:
    with pytest.raises(EngineError) as raised:
        await work
    return raised.value.code, raised.value.message


# The start.


def test_before_the_start_nothing_is_ready(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        code, message = await code_of(engine.facts())
        assert code == "not_ready" and "vLLM is starting" in message

    on_engine(test, tmp_path, start=False)


def test_one_rank_that_is_not_armed_is_enough_for_no_answer(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        await engine.start()
        for work in (
            engine.facts(),
            engine.put("sha256:" + "0" * 64, np.ones(1, np.float32)),
            engine.score(asked(([1], [[2]], None))),
        ):
            code, message = await code_of(work)
            assert code == "not_armed" and "rank 1" in message and "vLLM is 0.99" in message
        assert not engine.ready and not fake.requests
        assert (await engine.state())["failed"]["code"] == "not_armed"

    on_engine(test, tmp_path, start=False, armed=(True, False))


def test_an_engine_that_answers_as_the_base_under_a_mixture_is_found_at_the_start(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        await engine.start()
        code, message = await code_of(engine.facts())
        assert code == "not_armed" and "changes nothing" in message

    on_engine(test, tmp_path, start=False, acts=False)


def test_graphs_for_decoding_that_go_around_the_layers_are_found_at_the_start(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        await engine.start()
        code, message = await code_of(engine.facts())
        assert code == "not_armed" and "decoding differs from its scoring" in message

    on_engine(test, tmp_path, start=False, decodes_as_base=True)


def test_a_rank_that_vllm_does_not_show_is_not_armed(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        fake.ranks = 1
        await engine.start()
        code, message = await code_of(engine.facts())
        assert code == "not_armed" and "1 ranks of vLLM are armed, of 2" in message

    on_engine(test, tmp_path, start=False)


def test_the_directory_of_mixtures_is_private_and_emptied_at_the_start(tmp_path: Path) -> None:
    old = tmp_path / "runtime" / "mixtures" / ("0" * 64)
    old.mkdir(parents=True)
    (old / "adapter_config.json").write_text("{}")

    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        directory = tmp_path / "runtime" / "mixtures"
        assert list(directory.iterdir()) == []
        assert directory.stat().st_mode & 0o777 == 0o700

    on_engine(test, tmp_path)


def test_facts_name_the_model_and_what_the_engine_cannot_do(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        facts = await engine.facts()
        assert (
            facts.model.digest == fake.digest
            and facts.model.context == CONTEXT
            and facts.model.vocabulary == VOCABULARY
        )
        assert facts.model.end_ids == [2] and facts.model.stored == "F32" and facts.engine.parallelism == 2
        assert not facts.abilities.gradients and not facts.abilities.logits and facts.abilities.generate
        assert [target.name for target in facts.targets][:4] == [
            f"model.layers.0.self_attn.{n}_proj.weight" for n in "qkvo"
        ]
        sigma = await engine.sigma()
        assert sigma.shape == (sum(min(target.rows, target.columns) for target in facts.targets),)
        assert "vocab_size" in json.loads(await engine.file("config.json"))

    on_engine(test, tmp_path)


# Scores.


def test_items_under_different_mixtures_are_scored_at_once_each_under_its_own(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        (first, one), (second, two) = mixture(engine, 1), mixture(engine, 2)
        assert await engine.put(first, one) == [first, first]
        await engine.put(second, two)
        items = [([4, 5, 6], [[7], [8, 9], [8, 9, 10], [8, 11]], m) for m in (first, None, second)]
        answer = await engine.score(asked(*items))
        for (prompt, continuations, _), scores, numbers in zip(items, answer.scores, (one, None, two), strict=True):
            for continuation, found in zip(continuations, scores, strict=True):
                ids = prompt + continuation
                assert found == [ln_p(ids[:i], ids[i], numbers) for i in range(len(prompt), len(ids))]
        assert answer.mixtures == {first: [first, first], second: [second, second]}
        assert fake.most_running == len(fake.requests) == 3 * 3, "all prefixes at once, and each prefix once"

    on_engine(test, tmp_path)


def test_single_tokens_after_one_prompt_are_one_request_that_may_read_the_prefix_cache(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        await engine.score(asked(([4, 5], [[7], [8], [0]], None), ([4, 5], [[9]], None)))
        (request,) = fake.requests
        assert (
            request.prompt.ids == [4, 5] and request.parameters.next == [7, 8, 0, 9] and not request.parameters.prompt
        )

    on_engine(test, tmp_path)


def test_more_tokens_behind_a_prefix_than_vllm_answers_are_asked_in_several_requests(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        answer = await engine.score(asked(([4], [[token] for token in range(300)], None)))
        assert [len(request.parameters.next) for request in fake.requests] == [128, 128, 44]
        assert answer.scores == [[[ln_p([4], token, None)] for token in range(300)]]

    on_engine(test, tmp_path)


def test_a_prefix_that_is_anothers_prompt_is_scored_from_the_earlier_place(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        answer = await engine.score(asked(([4, 5], [[6]], None), ([4], [[5, 7]], None)))
        assert answer.scores == [[[ln_p([4, 5], 6, None)]], [[ln_p([4], 5, None), ln_p([4, 5], 7, None)]]]
        assert len(fake.requests) == 1

    on_engine(test, tmp_path)


def test_a_text_may_fill_the_context(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        await engine.score(asked(([4] * (CONTEXT - 2), [[5, 6]], None)))
        (request,) = fake.requests
        assert len(request.prompt.ids) + request.parameters.max_tokens == CONTEXT

    on_engine(test, tmp_path)


def test_each_request_has_its_mixture_as_the_salt_of_its_cache(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        await engine.score(asked(([4], [[5]], digest), ([4], [[5]], None)))
        assert sorted(request.prompt.salt for request in fake.requests) == ["base", digest]

    on_engine(test, tmp_path)


def test_more_mixtures_than_slots_are_all_scored(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        many = [mixture(engine, seed) for seed in range(12)]
        for digest, numbers in many:
            await engine.put(digest, numbers)
        answer = await engine.score(asked(*(([4], [[5, 6]], digest) for digest, _ in many)))
        assert [scores[0][0] for scores in answer.scores] == [ln_p([4], 5, numbers) for _, numbers in many]
        assert len(answer.mixtures) == 12

    on_engine(test, tmp_path)


# What fails.


def test_a_mixture_that_is_not_held_is_named(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        with pytest.raises(EngineError) as raised:
            await engine.score(asked(([4], [[5]], "sha256:" + "a" * 64)))
        assert raised.value.code == "unknown_mixture" and raised.value.members == {"mixture": "sha256:" + "a" * 64}
        assert not fake.requests

    on_engine(test, tmp_path)


def test_a_rank_that_computed_with_another_mixture_spoils_the_answer(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        fake.wrong_on_rank = 1
        code, message = await code_of(engine.score(asked(([4], [[5]], digest))))
        assert code == "wrong_mixture" and "rank 1" in message and digest in message
        code, _ = await code_of(engine.put(digest, numbers))
        assert code == "wrong_mixture"

    on_engine(test, tmp_path)


def test_a_mixture_put_out_of_its_slot_is_loaded_again_and_computed_once_more(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        fake.forgets = 1
        answer = await engine.score(asked(([4], [[5]], digest)))
        assert answer.mixtures == {digest: [digest, digest]} and len(fake.requests) == 2
        fake.forgets = 2
        code, message = await code_of(engine.score(asked(([4], [[5]], digest))))
        assert code == "wrong_mixture" and "never had" in message

    on_engine(test, tmp_path)


@pytest.mark.parametrize("how", ["abort", "error", "repetition"])
def test_a_request_that_vllm_ended_early_is_never_a_score(tmp_path: Path, how: str) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        fake.finish = how
        code, message = await code_of(engine.score(asked(([4], [[5]], None), ([6], [[7]], None))))
        assert code == "internal" and f"'{how}'" in message
        assert fake.running == 0

    on_engine(test, tmp_path)


def test_an_engine_that_died_is_dead_for_good(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        fake.gate = asyncio.Event()
        running = asyncio.ensure_future(engine.score(asked(([4], [[5]], None))))
        while not fake.running:
            await asyncio.sleep(0)
        fake.errored = True
        fake.gate.set()
        for work in (running, engine.facts(), engine.score(asked(([4], [[5]], None)))):
            code, message = await code_of(work)  # type: ignore[arg-type]
            assert code == "dead" and "Start t2-vllm again" in message
        assert not engine.ready

    on_engine(test, tmp_path)


def test_what_vllm_refuses_is_a_bad_request(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        fake.refuses = True
        code, message = await code_of(engine.score(asked(([4], [[5]], None))))
        assert code == "bad_request" and "max_tokens must be even" in message

    on_engine(test, tmp_path)


def test_a_client_that_goes_away_ends_its_requests(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        fake.gate = asyncio.Event()
        running = asyncio.ensure_future(engine.score(asked(([4], [[5], [6, 7]], None))))
        while fake.running < 2:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        assert fake.running == 0

    on_engine(test, tmp_path)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        monkeypatch.setattr(mixtures.adapters, "write", full)
        code, message = await code_of(engine.put(digest, numbers))
        assert code == "disk_full" and "No space left" in message and "--runtime" in message
        assert (await engine.state())["mixtures"] == []

    on_engine(test, tmp_path)


def test_the_least_recently_used_mixture_makes_room_but_never_one_in_use(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        many = [mixture(engine, seed) for seed in range(4)]
        engine._need_mixtures().most = 2
        for digest, numbers in many[:2]:
            await engine.put(digest, numbers)
        fake.gate = asyncio.Event()
        running = asyncio.ensure_future(engine.score(asked(([4], [[5]], many[0][0]))))
        while not fake.running:
            await asyncio.sleep(0)
        await engine.put(*many[2])
        assert (await engine.state())["mixtures"] == [many[0][0], many[2][0]], "the second was unused and went"
        engine._need_mixtures().most = 1
        code, message = await code_of(engine.put(*many[3]))
        assert code == "overloaded" and "in use" in message
        await engine.delete(many[0][0])
        directory = tmp_path / "runtime" / "mixtures"
        assert [file.name for file in directory.iterdir()] == [many[0][0][7:]], "the file stays while vLLM may read it"
        fake.gate.set()
        assert (await running).mixtures == {many[0][0]: [many[0][0]] * 2}
        assert list(directory.iterdir()) == []

    on_engine(test, tmp_path)


def test_mixtures_take_no_more_bytes_than_they_may(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        directory = tmp_path / "runtime" / "mixtures"
        size = 0
        for seed in range(12):
            await engine.put(*mixture(engine, seed))
            files = [file for each in directory.iterdir() for file in each.iterdir()]
            size = max(size, sum(file.stat().st_size for file in files))
        assert 0 < size <= 40_000 and len((await engine.state())["mixtures"]) < 12
        engine._need_mixtures().most_bytes = 100
        code, message = await code_of(engine.put(*mixture(engine, 99)))
        assert code == "disk_full" and "--mixture-bytes" in message

    on_engine(test, tmp_path, mixture_bytes=40_000)


def test_a_mixture_is_put_once_however_often_it_is_asked(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        assert await asyncio.gather(*(engine.put(digest, numbers) for _ in range(5))) == [[digest, digest]] * 5
        assert len(fake.loaded) == 1

    on_engine(test, tmp_path)


# Answers.


def generating(**changes: Any) -> GenerateRequest:
    return GenerateRequest.model_validate(
        {
            "prompt": [4, 5],
            "mixture": None,
            "max_tokens": 4,
            "stop_ids": [],
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": 0,
        }
        | changes
    )


async def lines(engine: VLLMEngine, request: GenerateRequest) -> list[dict[str, Any]]:
    return [line async for line in engine.generate(request)]


def test_an_answer_begins_with_its_mixture_and_ends_with_why_it_ended(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        found = await lines(engine, generating(mixture=digest))
        tokens = [line["token"] for line in found[1:-1]]
        assert (
            found[0] == {"mixtures": {digest: [digest, digest]}} and found[-1] == {"end": "length"} and len(tokens) == 4
        )
        stopped = await lines(engine, generating(mixture=digest, stop_ids=[tokens[1]]))
        assert stopped[1:] == [{"token": tokens[0]}, {"token": tokens[1]}, {"end": "stop"}]
        full = await lines(engine, generating(prompt=[4] * (CONTEXT - 2), max_tokens=9))
        assert len(full) == 4 and full[-1] == {"end": "context"}

    on_engine(test, tmp_path)


def test_an_answer_that_is_cut_has_no_end(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        fake.cut = True
        code, message = await code_of(lines(engine, generating()))
        assert code == "internal" and "without saying that it is finished" in message

    on_engine(test, tmp_path)


def test_an_answer_under_another_mixture_ends_in_an_error(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        found: list[Any] = []
        with pytest.raises(EngineError, match="rank 0 computed with"):
            async for line in engine.generate(generating(mixture=digest)):
                found.append(line)
                fake.wrong_on_rank = 0
        assert "end" not in found[-1]

    on_engine(test, tmp_path)


# Swapping.


def test_a_swap_is_one_transaction_and_while_it_lasts_nothing_else_is_answered(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        fake.calls.clear()
        assert (await engine.swap(digest))["swapped"] == digest
        assert fake.calls == ["pause wait", "t2_swap", "reset_prefix_cache", "t2_verify", "resume"]
        code, message = await code_of(engine.score(asked(([4], [[5]], None))))
        assert code == "wrong_mixture" and "/t2/swap" in message
        await engine.swap(None)
        await engine.score(asked(([4], [[5]], None)))

    on_engine(test, tmp_path)


@pytest.mark.parametrize(
    "knob",
    [{"cache_is_in_use": True}, {"swap_fails": True}, {"verify_difference": 1.0}],
    ids=lambda knob: next(iter(knob)),
)
def test_a_swap_that_fails_leaves_the_base(tmp_path: Path, knob: dict[str, Any]) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        await code_of(engine.swap(digest))
        assert fake.swapped is None and engine.swapped is None and fake.calls[-1] == "resume"
        await engine.score(asked(([4], [[5]], None)))

    on_engine(test, tmp_path, **knob)


def test_a_request_on_its_way_while_the_weights_change_is_not_answered(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        fake.gate = asyncio.Event()
        running = asyncio.ensure_future(engine.score(asked(([4], [[5]], None))))
        while not fake.running:
            await asyncio.sleep(0)
        await engine.swap(digest)
        await engine.swap(None)
        fake.gate.set()
        code, message = await code_of(running)  # type: ignore[arg-type]
        assert code == "wrong_mixture" and "repeat it" in message

    on_engine(test, tmp_path)


def test_a_mixture_that_is_deleted_in_use_and_put_again_is_held(tmp_path: Path) -> None:
    async def test(engine: VLLMEngine, fake: FakeVLLM) -> None:
        digest, numbers = mixture(engine, 1)
        await engine.put(digest, numbers)
        fake.gate = asyncio.Event()
        running = asyncio.ensure_future(engine.score(asked(([4], [[5]], digest))))
        while not fake.running:
            await asyncio.sleep(0)
        await engine.delete(digest)
        await engine.put(digest, numbers)
        fake.gate.set()
        await running
        assert (await engine.state())["mixtures"] == [digest] and len(fake.loaded) == 1
        await engine.score(asked(([4], [[5]], digest)))

    on_engine(test, tmp_path)


# Over HTTP, as t2d sees it.


def test_the_protocol_over_http(tmp_path: Path) -> None:
    async def started() -> tuple[VLLMEngine, FakeVLLM]:
        engine, fake = make_engine(tmp_path)
        await engine.start()
        return engine, fake

    engine, fake = asyncio.run(started())
    application = Starlette()
    server.add_routes(application, engine)
    with TestClient(application) as client:
        count = sum(min(target["rows"], target["columns"]) for target in client.get("/t2/facts").json()["targets"])
        numbers = np.random.default_rng(1).normal(1, 0.5, count).astype(np.float32)
        digest = engine.mixture_digest(numbers)
        assert client.put(f"/t2/mixtures/{digest}", content=b"{}\n" + numbers.tobytes()).json() == {
            "mixture": digest,
            "ranks": [digest] * 2,
        }
        item = {"prompt": [4], "continuations": [[5, 6]], "mixture": digest}
        scored = client.post("/t2/score", json={"items": [item]}).json()
        assert np.array_equal(
            np.float32(scored["scores"][0][0]), np.float32([ln_p([4], 5, numbers), ln_p([4, 5], 6, numbers)])
        )
        assert client.post("/t2/logits", json={"prompt": [4], "mixture": None}).json()["error"]["code"] == "no_logits"
        assert (
            client.post(
                "/t2/gradient", json={"items": [{"prompt": [4], "continuations": [[5]]}], "mixture": None}
            ).json()["error"]["code"]
            == "no_gradients"
        )
        assert client.delete(f"/t2/mixtures/{digest}").json() == {}
        missing = client.post("/t2/score", json={"items": [item]})
        assert missing.status_code == 404 and missing.json()["error"]["mixture"] == digest
        fake.errored = True
        assert client.get("/t2/facts").json()["error"]["code"] == "dead"
