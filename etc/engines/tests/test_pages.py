"""The code of the pages runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import tiny
from test_t2_torch import expert
from test_t2client import Peer, event

PAGES = Path(__file__).parents[1] / "docs"


def code(page: str) -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", (PAGES / page).read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 3
    return "\n".join(blocks)


def answers(peer: Peer, mixture: Path) -> None:
    """Answers whatever a page asks, until its connection ends."""
    buffer = b""
    while part := peer.connection.recv(65536):
        buffer += part
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            request = json.loads(line)
            number = request["id"]
            match request["method"]:
                case "system.hello":
                    peer.answer(number, {"version": "0.2.0"})
                case "mixture.get":
                    assert request["params"] == {"task": "arc_easy", "pass_fd": True}
                    descriptor = os.open(mixture, os.O_RDONLY)
                    peer.answer(number, {"served": "mixture", "alpha": {"science": 0.5}}, descriptor)
                    os.close(descriptor)
                case "task.show":
                    error = {"code": 1002, "message": "no task 'nonesuch'", "data": {"kind": "unknown_task"}}
                    peer.write(json.dumps({"jsonrpc": "2.0", "id": number, "error": error}))
                case "generate":
                    for place, text in enumerate((" honey", ".")):
                        peer.notify("part", {"id": number, "part": place, "text": text})
                    peer.answer(number, {"text": " honey."})
                case "events.subscribe":
                    peer.answer(number, {"sequence": 4, "events": []})
                    peer.notify("event", event(5))
                case other:
                    raise AssertionError(f"the page calls {other}")


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A scripted t2d where the pages look for it, and a tiny model and its expert beside."""
    tiny.make("llama", tmp_path / "model")
    expert(tmp_path / "model", tmp_path / "science.safetensors")
    (tmp_path / "var/run/t2d").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("var/run/t2d/t2d.sock")
    listener.listen()
    failures: list[BaseException] = []

    def serve(connection: socket.socket) -> None:
        try:
            with connection:
                answers(Peer(connection), tmp_path / "science.safetensors")
        except BaseException as error:
            failures.append(error)

    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield
    listener.shutdown(socket.SHUT_RDWR)
    accepting.join(30)
    listener.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not failures


def test_the_page_of_t2client_runs(daemon: None, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code("t2client.md"), "t2client.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["0.2.0", "mixture {'science': 0.5}"]
    assert printed[2].startswith("model.layers.") and len(printed) == 2 + 21 + 3
    assert printed[-3:] == ["unknown_task no task 'nonesuch'", " honey.", "mixture.published task5"]


def test_the_page_of_t2_torch_runs(daemon: None, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code("t2_torch.md"), "t2_torch.md", "exec"), {})
    count, adapted, base = capsys.readouterr().out.splitlines()
    assert count == "21 matrices changed"
    assert adapted.startswith("[1, 5, 9, ") and base.startswith("[1, 5, 9, ") and adapted != base
