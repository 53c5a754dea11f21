"""t2-torch over a real Unix socket: the program itself, and the engine in this process where its insides are held up."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiny
import torch
from conftest import Start, running, wait_until

from t2_engines import wire
from t2_engines.checkpoint import CheckpointError
from t2_engines.layout import Layout, Target
from t2_engines.torch_engine import compute
from t2_engines.torch_engine.compute import Limits
from t2_engines.torch_engine.engine import TorchEngine
from t2_engines.torch_engine.model import LoadedModel, load

SOURCES = str(Path(__file__).parents[1] / "src")


class Served:
    """A process of t2-torch, and a client of its socket."""

    def __init__(self, directory: Path, path: Path | None, factors: Path, *options: str) -> None:
        self.path = path or factors / "none"
        command = [sys.executable, "-m", "t2_engines.torch_engine.cli", "serve", str(directory)]
        command += [] if path is None else ["--uds", str(path)]
        self.process = subprocess.Popen(
            [*command, "--factors", str(factors), "--threads", "1", *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": SOURCES},
        )
        self.client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.path)), base_url="http://engine", timeout=120
        )

    def ready(self) -> dict[str, Any]:
        """Its facts, once it has some."""

        def answers() -> bool:
            assert self.process.poll() is None, self.process.communicate()[1]
            return self.path.exists() and self.client.get("/t2/facts").status_code == 200

        wait_until("t2-torch is ready", answers, 120)
        return self.client.get("/t2/facts").json()  # type: ignore[no-any-return]

    def end(self) -> tuple[int, str]:
        self.client.close()
        self.process.terminate()
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make("qwen2", tmp_path_factory.mktemp("model") / "Tiny-Qwen2")


@pytest.fixture(scope="module")
def served(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("served")
    served = Served(directory, place / "engine.sock", place / "factors")
    try:
        served.ready()
        yield served
    finally:
        code, errors = served.end()
    assert code == 0, errors
    assert "Traceback" not in errors


@pytest.fixture
def layout(served: Served) -> Layout:
    return Layout(tuple(Target(**target) for target in served.ready()["targets"]))


def put(client: httpx.Client, layout: Layout, seed: int) -> str:
    vector = tiny.vectors(layout, seed)
    digest = layout.mixture_digest(vector)
    answer = client.put(f"/t2/mixtures/{digest}", content=wire.frame({}, vector))
    assert answer.json() == {"mixture": digest, "ranks": [digest]}
    return digest


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_the_facts_are_those_of_the_model(served: Served, directory: Path, layout: Layout) -> None:
    facts = served.ready()
    model = tiny.reference(directory)
    assert facts["protocol"] == 1
    assert facts["engine"] == {
        "name": "torch",
        "version": facts["engine"]["version"],
        "type": "float32",
        "device": "cpu",
        "parallelism": 1,
    }
    assert f"torch {torch.__version__}" in facts["engine"]["version"]
    digest = facts["model"].pop("digest")
    assert wire.DIGEST.fullmatch(digest)
    assert facts["model"] == {
        "id": "Tiny-Qwen2",
        "architecture": "qwen2",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": 3,
        "hidden": 24,
        "vocabulary": tiny.VOCABULARY,
        "context": tiny.CONTEXT,
        "stored": "F32",
        "end_ids": [2],
    }
    assert facts["abilities"] == {"gradients": True, "logits": True, "generate": True, "images": False, "mixtures": 64}
    assert facts["warnings"] == []
    projections = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
    projections += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    assert [target.name for target in layout] == [
        f"model.layers.{n}.{name}.weight" for n in range(3) for name in projections
    ]
    for name, expected in facts["files"].items():
        content = served.client.get(f"/t2/files/{name}").content
        assert content == (directory / name).read_bytes() and len(content) == expected["bytes"]
    assert "config.json" in facts["files"]


def test_sigma_are_the_singular_values(served: Served, directory: Path, layout: Layout) -> None:
    sigma = np.frombuffer(served.client.get("/t2/sigma").content, "<f8")
    parameters = dict(tiny.reference(directory).named_parameters())
    expected = [torch.linalg.svdvals(parameters[target.name].detach().double()).numpy() for target in layout]
    np.testing.assert_allclose(sigma, np.concatenate(expected), atol=1e-7)


def test_scores_of_mixtures_and_the_base_in_one_request(served: Served, directory: Path, layout: Layout) -> None:
    digest = put(served.client, layout, 1)
    items = [{"prompt": [3, 4, 5], "continuations": [[6], [7, 8]], "mixture": mixture} for mixture in (None, digest)]
    answer = served.client.post("/t2/score", json={"items": items}).json()
    assert answer["mixtures"] == {digest: [digest]}
    for found, vector in zip(answer["scores"], (None, tiny.vectors(layout, 1)), strict=True):
        model = tiny.reference(directory, layout, vector)
        with torch.no_grad():
            expected = [tiny.scores(model, [3, 4, 5], each).tolist() for each in ([6], [7, 8])]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)


def test_logits_and_the_score_of_a_token_are_of_one_model(served: Served, layout: Layout) -> None:
    digest = put(served.client, layout, 1)
    answer = served.client.post("/t2/logits", json={"prompt": [3, 4], "mixture": digest})
    line, _, rest = answer.content.partition(b"\n")
    logits = np.frombuffer(rest, "<f4")
    assert json.loads(line) == {"mixtures": {digest: [digest]}} and logits.shape == (tiny.VOCABULARY,)
    item = {"prompt": [3, 4], "continuations": [[9]], "mixture": digest}
    score = served.client.post("/t2/score", json={"items": [item]}).json()["scores"][0][0][0]
    assert logits[9] - np.logaddexp.reduce(logits) == pytest.approx(score, abs=1e-5)


def test_a_gradient_is_a_frame(served: Served, layout: Layout) -> None:
    digest = put(served.client, layout, 1)
    request: dict[str, Any] = {"items": [{"prompt": [3, 4], "continuations": [[9, 5]]}], "mixture": digest}
    line, _, rest = served.client.post("/t2/gradient", json=request).content.partition(b"\n")
    assert json.loads(line)["divergences"] is None and rest == b""
    request |= {"derivatives": [[[1.0, -0.5]]], "divergence": "paper", "divergence_weight": 0.1}
    line, _, rest = served.client.post("/t2/gradient", json=request).content.partition(b"\n")
    assert json.loads(line)["divergences"][0][0] > 0
    gradient = np.frombuffer(rest, "<f4")
    assert gradient.shape == (layout.count,) and np.isfinite(gradient).all() and gradient.any()


GENERATE = {
    "prompt": [3, 4],
    "mixture": None,
    "max_tokens": 5,
    "stop_ids": [],
    "temperature": 0.0,
    "top_p": 1.0,
    "seed": 0,
}


def test_an_answer_is_streamed(served: Served, directory: Path, layout: Layout) -> None:
    digest = put(served.client, layout, 1)
    answer = served.client.post("/t2/generate", json=GENERATE | {"mixture": digest})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0] == {"mixtures": {digest: [digest]}} and lines[-1] == {"end": "length"}
    model = tiny.reference(directory, layout, tiny.vectors(layout, 1))
    expected = model.generate(torch.tensor([[3, 4]]), do_sample=False, max_new_tokens=5, eos_token_id=None)[0, 2:]
    assert [line["token"] for line in lines[1:-1]] == expected.tolist()


UNKNOWN = "sha256:" + "0" * 64
ITEM: dict[str, Any] = {"prompt": [1], "continuations": [[2]]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "score", {"items": [ITEM | {"mixture": UNKNOWN}]}, 404, "unknown_mixture"),
        ("POST", "logits", {"prompt": [1], "mixture": UNKNOWN}, 404, "unknown_mixture"),
        ("POST", "generate", GENERATE | {"mixture": UNKNOWN}, 404, "unknown_mixture"),
        ("POST", "gradient", {"items": [ITEM], "mixture": UNKNOWN}, 404, "unknown_mixture"),
        ("POST", "score", {"items": [ITEM | {"mixture": None, "prompt": [tiny.VOCABULARY]}]}, 400, "bad_request"),
        ("POST", "score", {"items": [ITEM | {"mixture": None, "prompt": [1] * tiny.CONTEXT}]}, 400, "too_long"),
        ("POST", "logits", {"prompt": [1] * (tiny.CONTEXT + 1), "mixture": None}, 400, "too_long"),
        ("POST", "generate", GENERATE | {"prompt": [1] * tiny.CONTEXT}, 400, "too_long"),
        ("POST", "generate", GENERATE | {"images": []}, 400, "bad_request"),
        ("GET", "files/tokenizer.model", None, 404, "not_found"),
        ("GET", "state", None, 404, "not_found"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(
    served: Served, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = served.client.request(method, "/t2/" + path, json=body)
    assert error(answer) == (status, code)
    if code == "unknown_mixture":
        assert answer.json()["error"]["mixture"] == UNKNOWN


def test_a_mixture_under_a_wrong_digest_is_refused_and_not_kept(served: Served, layout: Layout) -> None:
    digest = layout.mixture_digest(tiny.vectors(layout, 90))
    answer = served.client.put(f"/t2/mixtures/{digest}", content=wire.frame({}, tiny.vectors(layout, 91)))
    assert error(answer) == (400, "bad_request")
    assert layout.mixture_digest(tiny.vectors(layout, 91)) in answer.json()["error"]["message"]
    assert error(served.client.post("/t2/logits", json={"prompt": [1], "mixture": digest})) == (404, "unknown_mixture")


def test_at_most_so_many_mixtures_are_taken_at_once(served: Served, layout: Layout) -> None:
    digests = [put(served.client, layout, seed) for seed in range(65)]
    items = [{"prompt": [1], "continuations": [[2]], "mixture": digest} for digest in digests]
    assert error(served.client.post("/t2/score", json={"items": items})) == (400, "bad_request")
    answer = served.client.post("/t2/score", json={"items": items[:64]}).json()
    assert answer["mixtures"] == {digest: [digest] for digest in digests[:64]}
    assert len({scores[0][0] for scores in answer["scores"]}) == 64


def test_a_restart_forgets_mixtures_and_reads_its_factors(directory: Path, tmp_path: Path) -> None:
    made: list[tuple[str, int]] = []
    for _ in range(2):
        served = Served(directory, tmp_path / "e.sock", tmp_path / "factors")
        try:
            facts = served.ready()
            assert stat.S_IMODE(served.path.stat().st_mode) == 0o660
            layout = Layout(tuple(Target(**target) for target in facts["targets"]))
            asked = {"prompt": [1], "mixture": layout.mixture_digest(tiny.vectors(layout, 1))}
            assert error(served.client.post("/t2/logits", json=asked)) == (404, "unknown_mixture")
            put(served.client, layout, 1)
            assert served.client.post("/t2/logits", json=asked).status_code == 200
        finally:
            code, errors = served.end()
        assert code == 0 and not served.path.exists()
        [file] = (tmp_path / "factors").glob("*.safetensors")
        made.append((facts["model"]["digest"], file.stat().st_mtime_ns))
        assert file.stem == facts["model"]["digest"].removeprefix("sha256:")
        factorized = "factorizing" in errors
        assert factorized == (len(made) == 1)
    assert made[0] == made[1]


def test_sigterm_ends_it_in_the_middle_of_a_stream(directory: Path, tmp_path: Path) -> None:
    served = Served(directory, tmp_path / "e.sock", tmp_path / "factors")
    served.ready()
    endless = GENERATE | {"max_tokens": 1, "prompt": [3]}
    with served.client.stream("POST", "/t2/generate", json=endless) as answer:
        next(answer.iter_lines())
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(30)
    code, errors = served.end()
    assert code == 0, errors
    assert not served.path.exists()


def test_sigterm_ends_it_while_it_starts(directory: Path, tmp_path: Path) -> None:
    served = Served(directory, tmp_path / "e.sock", tmp_path / "factors")
    wait_until("it listens", served.path.exists, 120)
    assert served.client.get("/t2/facts").json()["error"]["code"] == "not_ready"
    code, errors = served.end()
    assert code == 0 and not served.path.exists() and "Traceback" not in errors


def test_it_listens_on_a_port_of_loopback(directory: Path, tmp_path: Path) -> None:
    served = Served(directory, None, tmp_path / "factors", "--port", "0")
    try:
        assert served.process.stderr is not None
        while "listening on 127.0.0.1:" not in (line := served.process.stderr.readline()):
            assert line, "it has ended"
        with httpx.Client(base_url="http://127.0.0.1:" + line.rsplit(":", 1)[1].strip()) as client:
            wait_until("it is ready", lambda: is_ready(client), 120)
    finally:
        code, errors = served.end()
    assert code == 0, errors


def test_what_cannot_be_served_is_said_and_leaves_no_socket(tmp_path: Path) -> None:
    for directory, says in ((tmp_path / "none", "no directory"), (tmp_path, "no config.json")):
        served = Served(directory, tmp_path / "e.sock", tmp_path / "factors")
        _, errors = served.process.communicate(timeout=60)
        assert served.process.returncode == 1 and says in errors and "Traceback" not in errors
        assert not served.path.exists()


def test_a_model_that_fails_to_load_ends_the_program(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"model_type": "none-such"}))
    served = Served(directory, tmp_path / "e.sock", tmp_path / "factors")
    _, errors = served.process.communicate(timeout=60)
    assert served.process.returncode == 1 and "none-such" in errors and "Traceback" not in errors
    assert not served.path.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--device", "tpu"], "--device"),
        (["--device", "cuda:77"], "CUDA devices"),
        (["--threads", "0"], "--threads is 0"),
    ],
)
def test_wrong_options_are_usage_errors(directory: Path, tmp_path: Path, options: list[str], says: str) -> None:
    served = Served(directory, tmp_path / "e.sock", tmp_path / "factors", *options)
    _, errors = served.process.communicate(timeout=60)
    assert served.process.returncode == 2 and says in errors


# The engine in this process.


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Callable[..., tuple[TorchEngine, httpx.Client]]]:
    """Starts an engine with a load of the test's own, and serves it."""
    with ExitStack() as stack:
        started: list[TorchEngine] = []

        def start(load: Callable[..., LoadedModel], limits: Limits = Limits()) -> tuple[TorchEngine, httpx.Client]:  # noqa: B008
            engine = TorchEngine(load, limits, 1)
            client = running(engine, tmp_path / "engine.sock", stack)
            engine.start()
            started.append(engine)
            return engine, client

        yield start
    assert all(engine.stop(30) for engine in started)


def loads(directory: Path, factors: Path) -> Callable[..., LoadedModel]:
    return lambda tell: load(directory, type="float32", device="cpu", factors=factors, tell=tell)


def is_ready(client: httpx.Client) -> bool:
    return client.get("/t2/facts").status_code == 200


def test_it_says_what_it_is_at_while_it_starts(engines: Any, directory: Path, tmp_path: Path) -> None:
    told, go_on = threading.Event(), threading.Event()

    def held_up(tell: Callable[[str, float | None], None]) -> LoadedModel:
        def and_wait(what: str, progress: float | None) -> None:
            tell(what, progress)
            if what == "factorizing: 7 of 21 matrices":
                told.set()
                assert go_on.wait(60)

        return load(directory, type="float32", device="cpu", factors=tmp_path, tell=and_wait)

    _, client = engines(held_up)
    assert told.wait(60)
    body = {"items": [{"prompt": [1], "continuations": [[2]], "mixture": None}]}
    for answer in (client.get("/t2/facts"), client.post("/t2/score", json=body), client.get("/t2/sigma")):
        assert error(answer) == (503, "not_ready")
        found = answer.json()["error"]
        assert "factorizing: 7 of 21" in found["message"] and found["progress"] == pytest.approx(7 / 21)
    go_on.set()
    wait_until("the engine is ready", lambda: is_ready(client))


def test_requests_share_the_compute_thread_in_turn(
    engines: Any, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score of many batches holds up neither facts nor another request."""
    engine, client = engines(loads(directory, tmp_path), Limits(tokens=1))
    wait_until("the engine is ready", lambda: is_ready(client))
    order: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    scores, next_token = compute._row_scores, compute.Decoding.next

    def batch(loaded: LoadedModel, rows: Any) -> Any:
        order.append("batch")
        begun.set()
        assert go_on.wait(60)
        return scores(loaded, rows)

    def token(decoding: compute.Decoding) -> int:
        order.append("token")
        return next_token(decoding)

    monkeypatch.setattr(compute, "_row_scores", batch)
    monkeypatch.setattr(compute.Decoding, "next", token)
    items = [{"prompt": [n], "continuations": [[2]], "mixture": None} for n in range(20)]
    answers: list[httpx.Response] = []

    def ask(path: str, body: Any) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.append(client.post(path, json=body)))
        thread.start()
        return thread

    scoring = ask("/t2/score", {"items": items})
    assert begun.wait(30)
    assert client.get("/t2/facts").status_code == 200
    generating = ask("/t2/generate", GENERATE | {"max_tokens": 3})
    wait_until("the answer is queued", lambda: len(engine._worker._jobs) > 0)
    go_on.set()
    scoring.join(60)
    generating.join(60)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert order.count("batch") == 20 and order.count("token") == 3
    assert order.index("token") == 1


def test_a_client_that_goes_away_stops_its_score(
    engines: Any, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = engines(loads(directory, tmp_path / "factors"), Limits(tokens=1))
    wait_until("the engine is ready", lambda: is_ready(client))
    begun, go_on, batches = threading.Event(), threading.Event(), []
    plain = compute._row_scores

    def slow(loaded: LoadedModel, rows: Any) -> Any:
        batches.append(rows)
        begun.set()
        assert go_on.wait(60)
        return plain(loaded, rows)

    monkeypatch.setattr(compute, "_row_scores", slow)
    items = [{"prompt": [n], "continuations": [[2]], "mixture": None} for n in range(20)]
    with pytest.raises(httpx.TimeoutException):
        client.post("/t2/score", json={"items": items}, timeout=1)
    assert begun.wait(30)
    # What is asked now is answered behind the batch that runs, and its answer shows that the rest was dropped.
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(client.post("/t2/logits", json={"prompt": [1], "mixture": None}))
    )
    asking.start()
    go_on.set()
    asking.join(60)
    assert answers[0].status_code == 200
    assert len(batches) <= 2


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "out_of_memory"),
        (RuntimeError("shapes"), "internal"),
    ],
)
def test_what_fails_while_it_computes_is_answered_and_the_engine_lives(
    engines: Any, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, code: str
) -> None:
    _, client = engines(loads(directory, tmp_path))
    wait_until("the engine is ready", lambda: is_ready(client))
    body = {"items": [{"prompt": [1], "continuations": [[2]], "mixture": None}]}
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise raised

        patched.setattr(compute, "_row_scores", fail)
        assert error(client.post("/t2/score", json=body)) == (wire.STATUS[code], code)
    assert client.post("/t2/score", json=body).status_code == 200


def test_a_device_that_failed_is_dead_until_a_restart(
    engines: Any, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = engines(loads(directory, tmp_path))
    wait_until("the engine is ready", lambda: is_ready(client))
    body = {"items": [{"prompt": [1], "continuations": [[2]], "mixture": None}]}
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise RuntimeError("CUDA error: device-side assert triggered")

        patched.setattr(compute, "_row_scores", fail)
        assert error(client.post("/t2/score", json=body)) == (500, "dead")
    assert error(client.post("/t2/score", json=body)) == (500, "dead")
    assert error(client.post("/t2/generate", json=GENERATE)) == (500, "dead")


def test_a_mixture_that_reads_back_otherwise_answers_nothing(
    engines: Any, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, client = engines(loads(directory, tmp_path))
    wait_until("the engine is ready", lambda: is_ready(client))
    layout = Layout(tuple(Target(**target) for target in client.get("/t2/facts").json()["targets"]))
    digest = put(client, layout, 1)
    engine._held[digest] = tiny.vectors(layout, 2)
    assert error(client.post("/t2/logits", json={"prompt": [1], "mixture": digest})) == (500, "wrong_mixture")


def test_the_least_recently_used_mixtures_are_forgotten(
    engines: Any, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("t2_engines.torch_engine.engine.MIXTURE_BYTES", 0)
    monkeypatch.setattr("t2_engines.torch_engine.engine.MIXTURES_AT_ONCE", 2)
    _, client = engines(loads(directory, tmp_path))
    wait_until("the engine is ready", lambda: is_ready(client))
    layout = Layout(tuple(Target(**target) for target in client.get("/t2/facts").json()["targets"]))
    first, second = put(client, layout, 1), put(client, layout, 2)

    def asked(digest: str) -> int:
        return client.post("/t2/logits", json={"prompt": [1], "mixture": digest}).status_code

    assert asked(first) == 200
    put(client, layout, 3)
    assert (asked(first), asked(second)) == (200, 404)


def test_a_load_that_fails_is_told_to_whoever_still_asks(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process, number: signals.append(number))

    def fail(tell: object) -> LoadedModel:
        raise CheckpointError("the disk is on fire")

    engine = TorchEngine(fail, Limits(), 1)
    client = start(engine)
    engine.start()
    wait_until("the load has failed", lambda: bool(signals))
    assert error(client.get("/t2/facts")) == (500, "dead")
    assert "on fire" in client.get("/t2/facts").json()["error"]["message"]
    assert engine.stop(30) and engine.failure == "the disk is on fire" and signals == [signal.SIGTERM]
