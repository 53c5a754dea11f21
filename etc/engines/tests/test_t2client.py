"""The client against a scripted server on a real Unix socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from t2client import Client, ConnectionLost, ProtocolError, T2Error, VectorsError

SOURCES = Path(__file__).parents[1] / "src"


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = b""
        self.descriptors: list[int] = []

    def expect(self, method: str, **params: Any) -> int:
        """Reads a request, which must be this one; gives its id."""
        while b"\n" not in self.buffer:
            part, descriptors, _, _ = socket.recv_fds(self.connection, 65536, 4)
            assert part, "the client closed its connection"
            self.buffer += part
            self.descriptors += descriptors
        line, self.buffer = self.buffer.split(b"\n", 1)
        request = json.loads(line)
        assert request["jsonrpc"] == "2.0" and (request["method"], request["params"]) == (method, params)
        return int(request["id"])

    def answer(self, number: int, result: Any, descriptor: int | None = None) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}), descriptor)

    def notify(self, method: str, params: Any) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def write(self, line: str, descriptor: int | None = None) -> None:
        data = line.encode() + b"\n"
        if descriptor is not None:
            # As the daemon does: with the first byte of the line.
            socket.send_fds(self.connection, [data[:1]], [descriptor])
            data = data[1:]
        self.connection.sendall(data)

    def ended(self) -> bool:
        """Waits for the client's end of file."""
        return self.connection.recv(1) == b""


Script = Callable[[Peer], None]


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Starts a server whose n-th connection follows the n-th script, and gives a client. Fails where a script does."""
    with contextlib.ExitStack() as stack:

        def start(*scripts: Script, timeout: float | None = 30) -> Client:
            path = tmp_path / "t2d.sock"
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen()
            failures: list[BaseException] = []

            def serve() -> None:
                try:
                    for script in scripts:
                        listener.settimeout(30)
                        connection, _ = listener.accept()
                        connection.settimeout(30)
                        with connection:
                            script(Peer(connection))
                except BaseException as error:
                    failures.append(error)

            thread = threading.Thread(target=serve)
            thread.start()
            client = Client(path, timeout=timeout)

            def end() -> None:
                client.close()
                thread.join(60)
                listener.close()
                assert not thread.is_alive()
                if failures:
                    raise failures[0]

            stack.callback(end)
            return client

        yield start


def test_calls_share_one_connection(scripted: Callable[..., Client]) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect("system.hello"), {"name": "t2d"})
        peer.answer(peer.expect("task.show", task="ärc"), {"rows": 3, "more": "ignored"})

    client = scripted(script)
    assert client.call("system.hello") == {"name": "t2d"}
    assert client.call("task.show", task="ärc")["rows"] == 3


def test_an_error_has_kind_message_hint_and_data(scripted: Callable[..., Client]) -> None:
    def script(peer: Peer) -> None:
        number = peer.expect("mixture.get", task="x")
        error = {
            "code": 1002,
            "message": "no task 'x'",
            "data": {"kind": "unknown_task", "hint": "t2ctl task list", "job": 7},
        }
        peer.write(json.dumps({"jsonrpc": "2.0", "id": number, "error": error}))
        peer.answer(peer.expect("system.hello"), {})

    client = scripted(script)
    with pytest.raises(T2Error, match="mixture.get: no task 'x' .t2ctl task list.") as caught:
        client.call("mixture.get", task="x")
    assert (caught.value.code, caught.value.kind, caught.value.hint) == (1002, "unknown_task", "t2ctl task list")
    assert caught.value.data["job"] == 7
    client.call("system.hello")  # on the same connection


def test_a_mixture_brings_its_vectors_along(scripted: Callable[..., Client], tmp_path: Path) -> None:
    file = tmp_path / "mixture.safetensors"
    expected = {"l.0.a.weight": np.array([1.5, -2], np.float32), "l.0.b.weight": np.array([0.25], np.float32)}
    save_file(expected, file, {"t2.kind": "mixture"})

    def script(peer: Peer) -> None:
        number = peer.expect("mixture.get", task="arc", model="tiny", pass_fd=True)
        descriptor = os.open(file, os.O_RDONLY)
        file.unlink()  # the descriptor is all that there is
        peer.answer(number, {"task": "arc", "model": "tiny", "generation": 3, "alpha": {"science": 0.5}}, descriptor)
        os.close(descriptor)

    with scripted(script).mixture("arc", "tiny") as mixture:
        assert mixture["alpha"] == {"science": 0.5} and "generation 3" in repr(mixture)
        assert not os.get_inheritable(mixture.descriptor)
        with open(mixture.path, "rb") as opened:
            assert len(opened.read()) > 100
        vectors = mixture.vectors()
    assert vectors.metadata == {"t2.kind": "mixture"}
    assert {name: list(values) for name, values in vectors.items()} == {
        name: v.tolist() for name, v in expected.items()
    }
    assert np.asarray(vectors["l.0.a.weight"]).dtype == np.float32
    with pytest.raises(TypeError):
        vectors["l.0.a.weight"][0] = 1.0


def test_a_file_that_was_not_asked_for_is_closed(scripted: Callable[..., Client], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    closed = threading.Event()

    def script(peer: Peer) -> None:
        number = peer.expect("expert.show", expert="a")
        descriptor = os.open(tmp_path / "file", os.O_RDONLY)
        peer.answer(number, {}, descriptor)
        os.close(descriptor)
        closed.set()

    scripted(script).call("expert.show", expert="a")
    assert closed.wait(30)
    assert str(tmp_path / "file") not in opened()


def opened() -> set[str]:
    """What the descriptors of this process lead to."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return found


def test_a_descriptor_goes_along_with_its_request(scripted: Callable[..., Client], tmp_path: Path) -> None:
    (tmp_path / "expert").write_bytes(b"content")

    def script(peer: Peer) -> None:
        number = peer.expect("expert.verify", path="expert")
        [descriptor] = peer.descriptors
        with open(descriptor, "rb") as passed:
            peer.answer(number, {"read": passed.read().decode()})

    client = scripted(script)
    with open(tmp_path / "expert", "rb") as file:
        assert client.call("expert.verify", descriptor=file.fileno(), path="expert") == {"read": "content"}


@pytest.mark.parametrize(
    "content", [b"", b"x" * 7, b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"}{"]
)
def test_a_file_that_is_none_of_vectors_is_refused(tmp_path: Path, content: bytes) -> None:
    from t2client import Mixture

    (tmp_path / "file").write_bytes(content)
    with Mixture({}, os.open(tmp_path / "file", os.O_RDONLY)) as mixture, pytest.raises(VectorsError):
        mixture.vectors()


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-1, -2], "data_offsets": [-8, 0]},
        {"dtype": "F32", "shape": ["a"], "data_offsets": [0, 8]},
        {"dtype": "F32"},
        [],
    ],
)
def test_a_tensor_outside_of_its_file_is_refused(tmp_path: Path, entry: Any) -> None:
    from t2client import Mixture

    header = json.dumps({"a": entry}).encode()
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with Mixture({}, os.open(tmp_path / "file", os.O_RDONLY)) as mixture, pytest.raises(VectorsError, match="'a'"):
        mixture.vectors()


def test_a_connection_that_was_closed_while_idle_is_made_again(scripted: Callable[..., Client]) -> None:
    closed = threading.Event()

    def first(peer: Peer) -> None:
        peer.answer(peer.expect("system.hello"), {"pid": 1})
        peer.connection.close()
        closed.set()

    def second(peer: Peer) -> None:
        peer.answer(peer.expect("system.hello"), {"pid": 2})

    client = scripted(first, second)
    assert client.call("system.hello") == {"pid": 1}
    assert closed.wait(30)
    assert client.call("system.hello") == {"pid": 2}


def test_a_request_that_was_cut_is_not_repeated(scripted: Callable[..., Client]) -> None:
    def first(peer: Peer) -> None:
        peer.expect("train.start", name="mine")
        peer.connection.sendall(b'{"jsonrpc":"2.0",')

    def second(peer: Peer) -> None:
        peer.answer(peer.expect("system.hello"), {})

    client = scripted(first, second)
    with pytest.raises(ConnectionLost, match="train.start"):
        client.call("train.start", name="mine")
    assert client.call("system.hello") == {}


def test_an_answer_that_does_not_come_in_time_is_not_taken_for_the_next(scripted: Callable[..., Client]) -> None:
    def first(peer: Peer) -> None:
        peer.expect("job.wait", job=1)
        assert peer.ended()

    def second(peer: Peer) -> None:
        peer.answer(peer.expect("system.hello"), {"pid": 2})

    client = scripted(first, second, timeout=0.2)
    with pytest.raises(TimeoutError):
        client.call("job.wait", job=1)
    assert client.call("system.hello") == {"pid": 2}


@pytest.mark.parametrize("line", ["[]", "no json", '{"jsonrpc":"2.0","id":77,"result":{}}', '{"jsonrpc":"2.0","id":1}'])
def test_what_is_no_answer_is_refused(scripted: Callable[..., Client], line: str) -> None:
    def script(peer: Peer) -> None:
        peer.expect("system.hello")
        peer.write(line)

    with pytest.raises(ProtocolError, match="system.hello"):
        scripted(script).call("system.hello")


def test_a_daemon_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match="is it running"):
        Client(tmp_path / "none.sock").call("system.hello")


def test_a_stream_gives_its_parts_and_its_result(scripted: Callable[..., Client]) -> None:
    def script(peer: Peer) -> None:
        number = peer.expect("generate", prompt="Bees", stream=True)
        for part, text in enumerate((" make", " honey")):
            peer.notify("part", {"id": number, "part": part, "text": text})
        peer.answer(number, {"text": " make honey"})

    *parts, last = scripted(script).stream("generate", prompt="Bees")
    assert [part["text"] for part in parts] == [" make", " honey"] and last == {"result": {"text": " make honey"}}


def test_a_stream_that_is_closed_ends_its_request(scripted: Callable[..., Client]) -> None:
    def script(peer: Peer) -> None:
        number = peer.expect("generate", prompt="Bees", stream=True)
        peer.notify("part", {"id": number, "part": 0, "text": " make"})
        assert peer.ended()

    parts = scripted(script).stream("generate", prompt="Bees")
    assert next(parts)["text"] == " make"
    parts.close()  # type: ignore[attr-defined]


def event(number: int) -> dict[str, Any]:
    return {"sequence": number, "event": "mixture.published", "subject": f"task{number}"}


def test_a_subscription_goes_on_behind_the_last_event_when_the_daemon_returns(scripted: Callable[..., Client]) -> None:
    def first(peer: Peer) -> None:
        number = peer.expect("events.subscribe", limit=1, events=["mixture.published"])
        peer.answer(number, {"sequence": 40, "events": [event(40)]})
        peer.notify("event", event(41))
        peer.notify("other", {"sequence": 99})
        peer.notify("event", event(45))

    def second(peer: Peer) -> None:
        number = peer.expect("events.subscribe", limit=1000, after=45, events=["mixture.published"])
        peer.answer(number, {"sequence": 50, "events": [event(47)], "next": 48})
        number = peer.expect("events.subscribe", limit=1000, after=48, events=["mixture.published"])
        peer.answer(number, {"sequence": 50, "events": [event(50)]})
        peer.notify("event", event(51))
        assert peer.ended()

    with scripted(first, second).subscribe(["mixture.published"]) as events:
        assert [next(events)["sequence"] for _ in range(5)] == [41, 45, 47, 50, 51]
        assert events.after == 51 and events.history_begins is None


def test_a_subscription_says_where_history_begins(scripted: Callable[..., Client]) -> None:
    def script(peer: Peer) -> None:
        number = peer.expect("events.subscribe", limit=1000, after=3)
        peer.answer(number, {"sequence": 50, "events": [event(20)], "history_begins": 20})
        assert peer.ended()

    with scripted(script).subscribe(after=3) as events:
        assert next(events)["sequence"] == 20 and events.history_begins == 20


def test_a_subscription_that_shall_not_reconnect_ends_with_its_connection(scripted: Callable[..., Client]) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect("events.subscribe", limit=1), {"sequence": 1, "events": []})
        peer.notify("event", event(2))

    events = scripted(script).subscribe(reconnect=False)
    assert next(events)["sequence"] == 2
    with pytest.raises(ConnectionLost):
        next(events)


def test_a_subscription_that_the_daemon_refuses_says_why(scripted: Callable[..., Client]) -> None:
    def script(peer: Peer) -> None:
        number = peer.expect("events.subscribe", limit=1, events=["none"])
        error = {"code": -32602, "message": "no event 'none'", "data": {"kind": "invalid_params"}}
        peer.write(json.dumps({"jsonrpc": "2.0", "id": number, "error": error}))

    with pytest.raises(T2Error, match="no event"):
        next(scripted(script).subscribe(["none"]))


def test_nothing_but_the_standard_library_is_imported() -> None:
    code = (
        "import sys; before = set(sys.modules); import t2client\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - {'t2client'}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(SOURCES)}, capture_output=True, text=True
    )
    assert (found.stdout, found.stderr) == ("[]\n", "")
