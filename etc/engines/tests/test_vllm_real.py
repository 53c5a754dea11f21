"""With vLLM itself, on a tiny model: pytest -m vllm. A server takes a minute to start, so each is shared by its tests.

What it answers is compared with PyTorch in float64 under weights that a singular value decomposition made.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from conftest import wait_until
from tiny_llama import CONTEXT, VOCABULARY, Reference, make, random_mixture

from t2_engines.checkpoint import Checkpoint
from t2_engines.layout import Layout, Multipliers
from t2_engines.vllm import adapters
from t2_engines.vllm.targets import layout_of

pytestmark = pytest.mark.vllm

START_SECONDS = 400
SLOTS = 4
#: Between vLLM in float32 and PyTorch in float64, in ln p of a token.
TOLERANCE = 1e-4


@dataclass
class Running:
    """A t2-vllm and a client of it."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    layout: Layout
    log: Path
    socket: Path

    def put(self, numbers: Multipliers) -> str:
        digest = self.layout.mixture_digest(numbers)
        answer = self.client.put(f"/t2/mixtures/{digest}", content=b"{}\n" + numbers.tobytes())
        assert answer.status_code == 200, answer.text
        assert set(answer.json()["ranks"]) == {digest}
        return digest

    def score(self, items: list[tuple[list[int], list[list[int]], str | None]]) -> list[list[list[float]]]:
        body = {"items": [{"prompt": p, "continuations": c, "mixture": m} for p, c, m in items]}
        answer = self.client.post("/t2/score", json=body)
        assert answer.status_code == 200, answer.text
        for digest, ranks in answer.json()["mixtures"].items():
            assert set(ranks) == {digest}
        scores: list[list[list[float]]] = answer.json()["scores"]
        return scores


def environment(path: Path) -> dict[str, str]:
    return os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "T2D_SOCKET": str(path / "t2d.sock"),
    }


def start(model: Path, path: Path, *options: str, vllm: tuple[str, ...] = ("--dtype", "float32")) -> Iterator[Running]:
    """Runs t2-vllm until the generator is closed; what it serves must be ready, and it must end cleanly."""
    command = [sys.executable, "-m", "t2_engines.vllm.cli", "serve", str(model), "--runtime", str(path / "runtime")]
    command += ["--factors", str(model.parent / "factors"), "--mixtures", str(SLOTS), *options]
    yield from running(
        model, path, [*command, "--", *vllm, "--max-model-len", str(CONTEXT)], path / "runtime" / "vllm.sock"
    )


def running(model: Path, path: Path, command: list[str], place: Path) -> Iterator[Running]:
    path.mkdir(parents=True, exist_ok=True)
    with (path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(path), stdout=log, stderr=log)
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(place)), base_url="http://engine", timeout=300)
    found = Running(process, client, layout_of(Checkpoint(model)), path / "log", place)
    try:

        def settled() -> bool:
            assert process.poll() is None, (path / "log").read_text()[-3000:]
            try:
                answer = client.get("/t2/facts")
            except httpx.TransportError:
                return False
            return bool(answer.status_code == 200 or answer.json()["error"]["code"] != "not_ready")

        wait_until("vLLM answers", settled, START_SECONDS)
        yield found
    finally:
        client.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert not place.exists(), "the socket is removed"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def reference(model: Path) -> Reference:
    return Reference(model)


@pytest.fixture(scope="module")
def one(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    yield from start(model, tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    yield from start(model, tmp_path_factory.mktemp("two"), "--tensor-parallel-size", "2")


@pytest.fixture(scope="module")
def factored(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    yield from start(model, tmp_path_factory.mktemp("factored"), "--form", "factored")


def check_against_reference(engine: Running, reference: Reference, tolerance: float = TOLERANCE) -> float:
    """Twenty items under twelve mixtures and the base, in one request, twice. Gives the worst difference."""
    mixtures = [random_mixture(reference.layout, seed) for seed in range(12)]
    digests = [engine.put(numbers) for numbers in mixtures]
    random = np.random.default_rng(5)
    items: list[tuple[list[int], list[list[int]], str | None]] = []
    for index in range(20):
        prompt = random.integers(0, VOCABULARY, random.integers(1, 40)).tolist()
        if index % 3 == 0:
            continuations = [[0], [1], [2], [5]]
        else:
            continuations = [random.integers(0, VOCABULARY, random.integers(1, 6)).tolist() for _ in range(4)]
        items.append((prompt, continuations, None if index % 5 == 4 else digests[index % 12]))
    worst = effect = 0.0
    for _ in range(2):
        scores = engine.score(items)
        for (prompt, continuations, digest), found in zip(items, scores, strict=True):
            numbers = None if digest is None else mixtures[digests.index(digest)]
            for continuation, values in zip(continuations, found, strict=True):
                expected = reference.log_probabilities(prompt + continuation, numbers)[len(prompt) - 1 :]
                worst = max(worst, *(abs(a - b) for a, b in zip(values, expected, strict=True)))
                if numbers is not None:
                    base = reference.log_probabilities(prompt + continuation, None)[len(prompt) - 1 :]
                    effect = max(effect, *(abs(a - b) for a, b in zip(values, base, strict=True)))
    print(f"worst difference in ln p of a token {worst:.3g}, effect of the mixtures {effect:.3g}")
    assert worst < tolerance
    assert effect > 100 * tolerance, "the mixtures must matter, or nothing was tested"
    return worst


def test_twelve_mixtures_and_the_base_in_one_batch_over_four_slots(one: Running, reference: Reference) -> None:
    check_against_reference(one, reference)
    state = one.client.get("/t2/state").json()
    assert state["ranks"][0]["slots"] == SLOTS and len(state["slots"][0]["slots"]) == SLOTS
    assert state["ranks"][0]["forms"] == {"output": 15, "product": 6}


def test_two_ranks_of_tensor_parallelism(two: Running, reference: Reference) -> None:
    check_against_reference(two, reference)
    state = two.client.get("/t2/state").json()
    assert [rank["forms"] for rank in state["ranks"]] == [{"product": 21}] * 2
    # Each rank puts adapters out of slots in an order of its own; what an adapter is, is the same on all.
    digests: dict[int, set[str]] = {}
    for rank in state["slots"]:
        assert len(rank["slots"]) == SLOTS
        for slot in rank["slots"].values():
            digests.setdefault(slot["adapter"], set()).add(slot["digest"])
    assert all(len(found) == 1 and found <= set(state["mixtures"]) for found in digests.values())


def test_the_factored_form(factored: Running, reference: Reference) -> None:
    check_against_reference(factored, reference)
    assert factored.client.get("/t2/state").json()["ranks"][0]["forms"] == {"factored": 21}


def test_bfloat16_differs_by_its_roundings_alone(tmp_path: Path) -> None:
    model = make(tmp_path / "model", torch.bfloat16)
    reference = Reference(model)
    for engine in start(model, tmp_path / "run", vllm=("--dtype", "bfloat16")):
        # The base's own roundings, and no more than three times that under a mixture.
        random = np.random.default_rng(5)
        prompts = [random.integers(0, VOCABULARY, 20).tolist() for _ in range(8)]
        numbers = random_mixture(reference.layout, 1)
        digest = engine.put(numbers)
        worst = {}
        for name, mixture, multipliers in (("base", None, None), ("mixture", digest, numbers)):
            scores = engine.score([(prompt[:1], [prompt[1:]], mixture) for prompt in prompts])
            worst[name] = max(
                abs(a - b)
                for prompt, ((values,)) in zip(prompts, scores, strict=True)
                for a, b in zip(values, reference.log_probabilities(prompt, multipliers), strict=True)
            )
        print(f"bfloat16: worst differences {worst}")
        assert worst["mixture"] < max(0.2, 3 * worst["base"])


def test_the_cheap_way_of_single_tokens_gives_the_numbers_of_whole_texts(one: Running) -> None:
    digest = one.put(random_mixture(one.layout, 1))
    prompt = list(range(10, 60))
    (cheap, whole) = one.score([(prompt, [[7], [8]], digest), (prompt, [[7, 9], [8, 9]], digest)])
    assert abs(cheap[0][0] - whole[0][0]) < 1e-5 and abs(cheap[1][0] - whole[1][0]) < 1e-5


def test_one_long_prompt_under_several_mixtures_is_never_answered_from_anothers_cache(
    one: Running, reference: Reference
) -> None:
    prompt = np.random.default_rng(1).integers(0, VOCABULARY, 200).tolist()
    mixtures: list[Multipliers | None] = [None, random_mixture(one.layout, 1), random_mixture(one.layout, 2)]
    digests = [None if numbers is None else one.put(numbers) for numbers in mixtures]
    first = [one.score([(prompt, [[7]], digest)])[0][0][0] for digest in digests]
    again = [one.score([(prompt, [[7]], digest)])[0][0][0] for digest in digests]
    for numbers, a, b in zip(mixtures, first, again, strict=True):
        expected = reference.log_probabilities([*prompt, 7], numbers)[-1]
        assert abs(a - expected) < TOLERANCE and abs(b - expected) < TOLERANCE


def test_a_text_as_long_as_the_context(one: Running, reference: Reference) -> None:
    ids = np.random.default_rng(2).integers(0, VOCABULARY, CONTEXT).tolist()
    ((found,),) = one.score([(ids[:-2], [ids[-2:]], None)])
    expected = reference.log_probabilities(ids, None)[-2:]
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) < TOLERANCE


def test_a_greedy_answer_is_the_most_probable_tokens(one: Running, reference: Reference) -> None:
    numbers = random_mixture(one.layout, 3)
    digest = one.put(numbers)
    body = {
        "prompt": [5, 6, 7],
        "mixture": digest,
        "max_tokens": 6,
        "stop_ids": [],
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 0,
    }
    lines = [json.loads(line) for line in one.client.post("/t2/generate", json=body).text.splitlines()]
    assert lines[0] == {"mixtures": {digest: [digest]}} and lines[-1] == {"end": "length"}
    ids = [5, 6, 7]
    for token in (line["token"] for line in lines[1:-1]):
        others = [reference.log_probabilities([*ids, candidate], numbers)[-1] for candidate in (token, 3, 100, 400)]
        assert others[0] >= max(others) - TOLERANCE
        ids.append(token)
    stopped = one.client.post("/t2/generate", json=body | {"stop_ids": [ids[4]]}).text.splitlines()
    assert json.loads(stopped[-1]) == {"end": "stop"} and json.loads(stopped[-2]) == {"token": ids[4]}
    sampled = [
        one.client.post("/t2/generate", json=body | {"temperature": 1.0, "seed": seed}).text
        for seed in (1, 1, 2**64 - 1)
    ]
    assert sampled[0] == sampled[1] != sampled[2]


def test_a_swap_gives_the_base_the_weights_of_a_mixture_and_back(one: Running, reference: Reference) -> None:
    numbers = random_mixture(one.layout, 4)
    digest = one.put(numbers)
    ids = list(range(20, 40))
    before = one.score([(ids[:1], [ids[1:]], None)])
    answer = one.client.post("/t2/swap", json={"mixture": digest})
    assert answer.status_code == 200 and answer.json()["swapped"] == digest
    refused = one.client.post("/t2/score", json={"items": [{"prompt": [1], "continuations": [[2]], "mixture": None}]})
    assert refused.json()["error"]["code"] == "wrong_mixture"
    body = {"model": "tiny", "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    positions = one.client.post("/v1/completions", json=body).json()["choices"][0]["prompt_logprobs"]
    found = [positions[index][str(ids[index])]["logprob"] for index in range(1, len(ids))]
    expected = reference.log_probabilities(ids, numbers)
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) < TOLERANCE
    assert one.client.post("/t2/swap", json={"mixture": None}).status_code == 200
    assert one.score([(ids[:1], [ids[1:]], None)]) == before


def test_no_door_is_open_that_lets_clients_load_adapters_or_call_workers(one: Running) -> None:
    for path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
        assert one.client.post(path, json={"lora_name": "x", "lora_path": "/tmp"}).status_code == 403
    assert one.client.post("/adapters", json={"name": "x", "src": "/tmp"}).status_code == 404
    assert one.client.post("/collective_rpc", json={"method": "t2_state"}).status_code == 404


def test_a_model_name_is_what_t2d_serves_now(one: Running, reference: Reference, tmp_path: Path) -> None:
    """OpenAI's client says model: arc; a scripted t2d says which mixture that is, and then another."""
    layout = reference.layout
    served: dict[str, Any] = {}
    mixtures = [random_mixture(layout, 21), random_mixture(layout, 22)]

    def serve(numbers: Multipliers) -> None:
        digest = layout.mixture_digest(numbers)
        directory = tmp_path / digest[7:]
        adapters.write(directory, layout, numbers, digest, "sha256:base")
        served["arc"] = {"path": str(directory), "digest": digest, "generation": 1, "name": "arc"}

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                made: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
                name = request["params"]["name"]
                made |= {"result": served[name]} if name in served else {"error": {"code": 1, "message": "unknown"}}
                connection.sendall(json.dumps(made).encode() + b"\n")

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(one.log.parent / "t2d.sock"))
    listener.listen()
    threading.Thread(target=accept, daemon=True).start()
    ids = list(range(30, 50))

    def furthest(numbers: Multipliers) -> float:
        body = {"model": "arc", "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        positions = one.client.post("/v1/completions", json=body).json()["choices"][0]["prompt_logprobs"]
        found = [positions[index][str(ids[index])]["logprob"] for index in range(1, len(ids))]
        return max(abs(a - b) for a, b in zip(found, reference.log_probabilities(ids, numbers), strict=True))

    try:
        serve(mixtures[0])
        assert furthest(mixtures[0]) < TOLERANCE
        serve(mixtures[1])
        before = time.monotonic()
        wait_until("the new mixture is served", lambda: furthest(mixtures[1]) < TOLERANCE, 20)
        print(f"a change is served after {time.monotonic() - before:.1f} s")
        unknown = one.client.post("/v1/completions", json={"model": "nope", "prompt": ids, "max_tokens": 1})
        assert unknown.status_code == 404
    finally:
        listener.close()
        (one.log.parent / "t2d.sock").unlink()


def test_workers_that_serve_another_model_than_was_factorized_are_not_armed(model: Path, tmp_path: Path) -> None:
    """vLLM is started by hand on other weights, with the settings of the first model's factorization."""
    from t2_engines.svf import FactorCache, model_digest
    from t2_engines.version import VERSION
    from t2_engines.vllm import cli
    from t2_engines.vllm.targets import Settings

    checkpoint = Checkpoint(model)
    layout = layout_of(checkpoint)
    digest = model_digest(layout, lambda target: checkpoint.matrix(target.name))
    FactorCache(tmp_path / "factors").read_or_make(digest, layout, lambda target: checkpoint.matrix(target.name))
    other = tmp_path / "other"
    other.mkdir()
    for file in model.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    from safetensors.torch import load_file, save_file

    tensors = load_file(other / "model.safetensors")
    tensors["model.layers.2.mlp.down_proj.weight"] *= 1.01
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    settings = Settings(
        VERSION, str(model), digest, str(tmp_path / "factors"), "added", str(tmp_path / "mixtures"), 1 << 20
    )
    place = tmp_path / "vllm.sock"
    given = cli.argparse.Namespace(
        port=None, tensor_parallel_size=1, mixtures=2, vllm=["--dtype", "float32", "--max-model-len", "64"]
    )
    command = cli.vllm_command(settings, given, place)
    command[command.index("--model") + 1] = str(other)
    run = """if True:
        import json, os, sys
        from pathlib import Path
        from t2_engines.vllm import cli
        code = cli._run(json.loads(sys.argv[1]), cli.vllm_environment(os.environ, None))
        Path(sys.argv[2]).unlink(missing_ok=True)
        sys.exit(code)
    """
    for engine in running(model, tmp_path / "run", [sys.executable, "-c", run, json.dumps(command), str(place)], place):
        for method, path, body in (
            ("GET", "/t2/facts", None),
            ("POST", "/t2/score", {"items": [{"prompt": [1], "continuations": [[2]], "mixture": None}]}),
        ):
            answer = engine.client.request(method, path, json=body)
            assert answer.status_code == 500 and answer.json()["error"]["code"] == "not_armed"
            assert "down_proj" in answer.json()["error"]["message"]


def test_vllm_whose_worker_is_killed_answers_dead_or_not_at_all_and_ends(model: Path, tmp_path: Path) -> None:
    for engine in start(model, tmp_path / "run"):
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "pid=,ppid=,sid=,args="], capture_output=True, text=True, check=True
        )
        processes = [line.split(maxsplit=3) for line in listed.stdout.splitlines()]
        (api,) = (pid for pid, parent, _, _ in processes if int(parent) == engine.process.pid)
        workers = [
            int(pid) for pid, _, session, name in processes if session == api and name.startswith("VLLM::Worker")
        ]
        assert workers, listed.stdout
        os.kill(workers[0], signal.SIGKILL)
        end = time.monotonic() + 60
        while engine.process.poll() is None and time.monotonic() < end:
            try:
                answer = engine.client.post(
                    "/t2/score", json={"items": [{"prompt": [1], "continuations": [[2]], "mixture": None}]}
                )
            except httpx.TransportError:
                continue
            if answer.status_code != 200:  # one that ran before vLLM noticed may have been right
                assert answer.json()["error"]["code"] == "dead", answer.text
        assert engine.process.wait(60) != 0
