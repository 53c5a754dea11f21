"""The routes over a scripted engine, on real Unix sockets."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from conftest import Start
from test_wire import FACTS, SCORE, D

from t2_engines import server, wire
from t2_engines.layout import Layout, Target

LAYOUT = Layout.of([Target("l.0.a.weight", 2, 3)])
ONES = np.ones(2, np.float32)
ONES_DIGEST = LAYOUT.mixture_digest(ONES)


class Scripted(server.Engine):
    """Answers what it was told to, and says what was cancelled."""

    def __init__(self) -> None:
        self.fails: BaseException | None = None
        self.read_back: str | None = None
        self.waits = False
        self.started = threading.Event()
        self.cancelled = threading.Event()
        self.held: dict[str, npt.NDArray[np.float32]] = {}
        self.lines: list[dict[str, Any] | Exception] = []

    async def _act(self) -> None:
        if self.fails is not None:
            raise self.fails
        if self.waits:
            self.started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

    async def facts(self) -> wire.Facts:
        if isinstance(self.fails, wire.EngineError) and self.fails.code == "not_ready":
            raise self.fails
        return FACTS.model_copy(update={"files": {"config.json": wire.FileFacts(bytes=2, digest=D)}})

    async def file(self, name: str) -> bytes:
        return b"{}"

    async def sigma(self) -> npt.NDArray[np.float64]:
        return np.array([2.5, 1.0])

    async def put(self, digest: str, multipliers: npt.NDArray[np.float32]) -> list[str]:
        await self._act()
        self.held[digest] = multipliers
        return [self.read_back or digest]

    async def delete(self, digest: str) -> None:
        self.held.pop(digest, None)

    async def score(self, request: wire.ScoreRequest) -> server.ScoreAnswer:
        await self._act()
        scores = [[[-0.5 for _ in continuation] for continuation in item.continuations] for item in request.items]
        scores[0][0][0] = float("nan")
        return server.ScoreAnswer(scores, {name: [self.read_back or name] for name in request.mixtures})

    async def logits(self, request: wire.LogitsRequest) -> server.LogitsAnswer:
        return server.LogitsAnswer(np.arange(10, dtype=np.float32), {})

    async def generate(self, request: wire.GenerateRequest) -> AsyncGenerator[dict[str, Any], None]:
        for line in self.lines:
            if isinstance(line, Exception):
                raise line
            yield line
        await self._act()

    async def gradient(self, request: wire.GradientRequest) -> server.GradientAnswer:
        return server.GradientAnswer([[[-1.0, -2.0]]], [[0.25]], np.array([3, 4], np.float32))

    def mixture_digest(self, multipliers: npt.NDArray[np.float32]) -> str:
        return LAYOUT.mixture_digest(multipliers)


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


@pytest.fixture
def client(start: Start, engine: Scripted) -> httpx.Client:
    return start(engine, largest_body=1000)


def error(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()["error"]
    assert body["message"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    return answer.status_code, body["code"]


GENERATE = {
    "prompt": [1],
    "mixture": None,
    "max_tokens": 3,
    "stop_ids": [2],
    "temperature": 0.0,
    "top_p": 1.0,
    "seed": 0,
}


def test_facts_files_and_sigma(client: httpx.Client) -> None:
    facts = client.get("/t2/facts")
    assert facts.json()["targets"] == [{"name": "l.0.a.weight", "rows": 2, "columns": 3}]
    assert int(facts.headers["content-length"]) == len(facts.content)
    assert client.get("/t2/files/config.json").content == b"{}"
    assert error(client.get("/t2/files/other.json")) == (404, "not_found")
    assert error(client.get("/t2/files/..%2f..%2fetc%2fpasswd")) == (404, "not_found")
    assert np.frombuffer(client.get("/t2/sigma").content, "<f8").tolist() == [2.5, 1.0]


def test_a_mixture_is_put_and_deleted(client: httpx.Client, engine: Scripted) -> None:
    answer = client.put(f"/t2/mixtures/{ONES_DIGEST}", content=wire.frame({}, ONES))
    assert answer.json() == {"mixture": ONES_DIGEST, "ranks": [ONES_DIGEST]}
    assert engine.held[ONES_DIGEST].tolist() == [1, 1]
    for _ in range(2):
        assert client.delete(f"/t2/mixtures/{ONES_DIGEST}").json() == {}
    assert not engine.held


@pytest.mark.parametrize(
    ("digest", "body"),
    [
        (D, wire.frame({}, ONES)),  # of other numbers
        ("sha256:xyz", wire.frame({}, ONES)),
        (ONES_DIGEST, wire.frame({}, np.ones(3, np.float32))),
        (ONES_DIGEST, wire.frame({}, np.array([1, np.nan], np.float32))),
        (ONES_DIGEST, wire.frame({"name": 1}, ONES)),
        (ONES_DIGEST, b"{}"),
    ],
)
def test_a_wrong_mixture_is_not_kept(client: httpx.Client, engine: Scripted, digest: str, body: bytes) -> None:
    assert error(client.put(f"/t2/mixtures/{digest}", content=body)) == (400, "bad_request")
    assert not engine.held


def test_scores_that_are_not_finite_are_null(client: httpx.Client) -> None:
    assert client.post("/t2/score", content=SCORE).json() == {"scores": [[[None, -0.5]]], "mixtures": {}}


def test_frames_have_their_line_and_their_floats(client: httpx.Client) -> None:
    answer = client.post("/t2/logits", json={"prompt": [1], "mixture": None})
    assert answer.headers["content-type"] == wire.FRAME_TYPE
    assert answer.content == b'{"mixtures":{}}\n' + np.arange(10, dtype="<f4").tobytes()
    answer = client.post("/t2/gradient", json={"items": [{"prompt": [1], "continuations": [[2, 3]]}], "mixture": None})
    line, _, numbers = answer.content.partition(b"\n")
    assert line == b'{"scores":[[[-1.0,-2.0]]],"divergences":[[0.25]]}'
    assert np.frombuffer(numbers, "<f4").tolist() == [3, 4]


@pytest.mark.parametrize("code", wire.STATUS)
def test_every_error_of_an_engine_is_answered_with_its_status(
    client: httpx.Client, engine: Scripted, code: str
) -> None:
    engine.fails = wire.EngineError(code, "why", mixture=D)
    answer = client.post("/t2/score", content=SCORE)
    assert error(answer) == (wire.STATUS[code], code)
    assert answer.json()["error"] == {"code": code, "message": "why", "mixture": D}


def test_a_mistake_of_ours_is_internal_and_the_server_lives(client: httpx.Client, engine: Scripted) -> None:
    engine.fails = ZeroDivisionError("mistake")
    assert error(client.post("/t2/score", content=SCORE)) == (500, "internal")
    engine.fails = None
    assert client.post("/t2/score", content=SCORE).status_code == 200


def test_an_answer_under_another_mixture_is_withheld(client: httpx.Client, engine: Scripted) -> None:
    engine.read_back = D
    assert error(client.put(f"/t2/mixtures/{ONES_DIGEST}", content=wire.frame({}, ONES))) == (500, "wrong_mixture")
    body = {"items": [{"prompt": [1], "continuations": [[2]], "mixture": ONES_DIGEST}]}
    assert error(client.post("/t2/score", json=body)) == (500, "wrong_mixture")


def test_what_is_not_in_the_protocol_is_not_found(client: httpx.Client) -> None:
    assert error(client.get("/t2/score")) == (404, "not_found")
    assert error(client.post("/t2/facts", content=b"")) == (404, "not_found")
    assert error(client.get("/t2/nothing")) == (404, "not_found")


def test_large_bodies_are_refused_however_they_come(client: httpx.Client) -> None:
    assert error(client.post("/t2/score", content=b" " * 1001)) == (400, "bad_request")

    def parts() -> Any:
        for _ in range(11):
            yield b" " * 100

    answer = client.post("/t2/score", content=parts())
    assert error(answer) == (400, "bad_request")
    assert "more than 1000 bytes" in answer.json()["error"]["message"]
    assert error(client.request("GET", "/t2/facts", content=b"x")) == (400, "bad_request")


def test_connections_are_kept_after_answers_and_errors(client: httpx.Client, engine: Scripted) -> None:
    for _ in range(3):
        assert client.post("/t2/score", content=SCORE).status_code == 200
        assert client.post("/t2/score", content=b"{").status_code == 400
    pool = client._transport._pool  # type: ignore[attr-defined]
    assert len(pool.connections) == 1


def lines(answer: httpx.Response) -> list[Any]:
    import json

    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_stream_is_lines(client: httpx.Client, engine: Scripted) -> None:
    engine.lines = [{"mixtures": {}}, {"token": 5}, {"end": "length"}]
    answer = client.post("/t2/generate", json=GENERATE)
    assert answer.headers["transfer-encoding"] == "chunked" and "content-length" not in answer.headers
    assert lines(answer) == engine.lines


def test_a_stream_that_fails_midway_ends_with_its_error(client: httpx.Client, engine: Scripted) -> None:
    engine.lines = [{"mixtures": {}}, {"token": 5}, wire.EngineError("out_of_memory", "no room")]
    assert lines(client.post("/t2/generate", json=GENERATE))[-1] == {
        "error": {"code": "out_of_memory", "message": "no room"}
    }


def test_a_stream_that_fails_before_its_first_line_has_a_status(client: httpx.Client, engine: Scripted) -> None:
    engine.lines = [wire.unknown_mixture(D)]
    assert error(client.post("/t2/generate", json=GENERATE)) == (404, "unknown_mixture")


def test_a_client_that_goes_away_cancels_its_stream(client: httpx.Client, engine: Scripted) -> None:
    engine.lines, engine.waits = [{"mixtures": {}}, {"token": 5}], True
    with client.stream("POST", "/t2/generate", json=GENERATE) as answer:
        assert next(answer.iter_lines()) == '{"mixtures":{}}'
        assert engine.started.wait(10)
    assert engine.cancelled.wait(10)


def test_a_client_that_goes_away_cancels_its_score(start: Start, engine: Scripted, tmp_path: Path) -> None:
    start(engine)
    engine.waits = True
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tmp_path / "engine.sock"))
        peer.sendall(b"POST /t2/score HTTP/1.1\r\nHost: e\r\nContent-Length: %d\r\n\r\n" % len(SCORE) + SCORE)
        assert engine.started.wait(10)
    assert engine.cancelled.wait(10)


def test_facts_are_answered_while_a_score_runs(start: Start, engine: Scripted) -> None:
    client = start(engine)
    engine.waits = True
    failed: list[Exception] = []

    def score() -> None:
        try:
            client.post("/t2/score", content=SCORE, timeout=1)
        except httpx.TimeoutException as error:
            failed.append(error)

    thread = threading.Thread(target=score)
    thread.start()
    assert engine.started.wait(10)
    assert client.get("/t2/facts").status_code == 200
    thread.join()
    assert failed


# The socket.

SERVE = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from test_server import Scripted
from t2_engines import server
server.serve(Scripted(), server.listen_unix(Path(sys.argv[1])), lambda: print("started", flush=True))
print("ended", flush=True)
"""


def served(path: Path) -> "subprocess.Popen[str]":
    code = SERVE.format(tests=str(Path(__file__).parent))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    return process


def test_sigterm_ends_it_cleanly_and_removes_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    process = served(path)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://e") as client:
            assert client.get("/t2/facts").status_code == 200
        process.terminate()
        assert process.communicate(timeout=30)[0] == "ended\n"
        assert process.returncode == 0
        assert not path.exists()
    finally:
        process.kill()


def test_a_socket_of_an_engine_that_died_is_replaced_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    process = served(path)
    try:
        with pytest.raises(server.ListenError, match="another process listens"):
            server.listen_unix(path)
    finally:
        process.kill()
        process.communicate()
    assert path.exists()
    server.listen_unix(path).close()
    path.unlink()
    path.write_text("not a socket")
    with pytest.raises(server.ListenError, match="is no socket"):
        server.listen_unix(path)
    assert path.read_text() == "not a socket"
    with pytest.raises(server.ListenError, match="cannot listen"):
        server.listen_unix(tmp_path / "none" / "e.sock")


def test_only_loopback_is_listened_on() -> None:
    with pytest.raises(server.ListenError, match="no authentication"):
        server.listen_tcp("0.0.0.0", 0)
    listener = server.listen_tcp("127.0.0.1", 0)
    assert listener.getsockname()[0] == "127.0.0.1"
    listener.close()


def test_the_routes_fit_into_an_application_with_others(engine: Scripted, tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    application = Starlette(routes=[Route("/health", lambda request: PlainTextResponse("ok"))])
    server.add_routes(application, engine)
    with TestClient(application) as client:
        assert client.get("/health").text == "ok"
        assert client.get("/t2/facts").json()["protocol"] == 1
