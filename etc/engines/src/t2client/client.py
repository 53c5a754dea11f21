"""Connections to the daemon, and the calls that are made over them."""

from __future__ import annotations

import array
import json
import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, TypeAlias

from t2client.mixture import Mixture
from t2client.subscription import Subscription

#: An object of JSON.
Object: TypeAlias = dict[str, Any]

#: The daemon's answers have at most 4 MiB; what is longer comes from something else.
LONGEST_LINE = 16 << 20
#: Descriptors that are taken along with one read. One belongs to an answer; what is more is closed.
MOST_DESCRIPTORS = 4


class T2Error(Exception):
    """The daemon refused. `kind` is for programs, `message` and `hint` are for people; `data` has what the kind brings."""

    def __init__(self, method: str, error: Object) -> None:
        data = error.get("data")
        self.method = method
        self.code = int(error.get("code", 0))
        self.message = str(error.get("message", ""))
        self.data: Object = data if isinstance(data, dict) else {}
        self.kind = str(self.data.get("kind", ""))
        self.hint: str | None = self.data.get("hint")
        super().__init__(f"{method}: {self.message}" + (f" ({self.hint})" if self.hint else ""))


class ConnectionLost(ConnectionError):
    """The daemon could not be reached, or closed the connection before it answered: whether it acted is not known."""


class ProtocolError(Exception):
    """What came is no answer of t2d."""


class Connection:
    """One connected socket and what was read of it beyond the last line. For one thread at a time."""

    def __init__(self, path: str, timeout: float | None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._descriptors: list[int] = []
        self._number = 0
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise ConnectionLost(
                f"cannot reach t2d at '{path}': {error}; is it running, and may you use its socket?"
            ) from error

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._socket.close()

    def wait_for_ever(self) -> None:
        """For what comes when it comes."""
        self._socket.settimeout(None)

    def is_closed_by_peer(self) -> bool:
        """Whether the daemon has closed it while it was idle. Nothing is expected then: anything that came is as bad."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))

    def send(self, method: str, params: Object, descriptor: int | None) -> int:
        """Sends a request, with a descriptor along; gives its id."""
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        line = json.dumps(request, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            if descriptor is None:
                self._socket.sendall(line)
            else:
                # The descriptor goes with the first bytes that the kernel takes; the rest of the line follows it.
                sent = socket.send_fds(self._socket, [line], [descriptor])
                if sent < len(line):
                    self._socket.sendall(line[sent:])
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionLost(f"{method}: t2d closed the connection: {error}") from error
        return self._number

    def receive(self, method: str) -> Object:
        """The next message. Waits for it."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LONGEST_LINE:
                raise ProtocolError(f"{method}: a line of more than {LONGEST_LINE} bytes came; is this t2d's socket?")
            try:
                part = self._receive_part()
            except TimeoutError:
                raise
            except OSError as error:
                raise ConnectionLost(f"{method}: t2d closed the connection: {error}") from error
            if not part:
                raise ConnectionLost(f"{method}: t2d closed the connection before its answer was whole")
            self._buffer += part
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ProtocolError(f"{method}: what came is no JSON: {error}") from error
        if not isinstance(message, dict):
            raise ProtocolError(f"{method}: what came is no object")
        return message

    def _receive_part(self) -> bytes:
        """What has come, and the descriptors that came along. socket.recv_fds would leave them to child processes."""
        part, ancillary, _, _ = self._socket.recvmsg(
            1 << 16, socket.CMSG_SPACE(4 * MOST_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
        )
        for level, type, data in ancillary:
            if (level, type) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
                self._descriptors += received
        return part

    def take_descriptor(self) -> int | None:
        """The descriptor that came along since this was last asked; the caller closes it. Others are closed."""
        taken, self._descriptors = self._descriptors, []
        for descriptor in taken[1:]:
            os.close(descriptor)
        return taken[0] if taken else None


def result(method: str, number: int, message: Object) -> Any:
    """What a message answers to a request."""
    if message.get("id") != number and "error" not in message:
        raise ProtocolError(f"{method}: an answer to request {message.get('id')} came where {number} was asked")
    error = message.get("error")
    if isinstance(error, dict):
        raise T2Error(method, error)
    if "result" not in message:
        raise ProtocolError(f"{method}: what came is neither a result nor an error")
    return message["result"]


class Client:
    """Speaks to the t2d behind a socket."""

    def __init__(self, socket: str | os.PathLike[str], *, timeout: float | None = 60) -> None:
        """`socket`: its path. `timeout`: seconds to wait for an answer; None for ever. Connects to nothing yet."""
        self.socket = os.fspath(socket)
        self.timeout = timeout
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. The next call makes another."""
        with self._lock:
            self._close()

    def call(self, method: str, /, *, descriptor: int | None = None, **params: Any) -> Any:
        """Calls a method and gives its result; `descriptor` is an open file for a method that reads one.

        Raises T2Error where the daemon refuses, ConnectionLost where it cannot be reached or goes away, and TimeoutError
        where it does not answer in time: the connection is closed then, which ends the request.
        """
        found, passed = self._exchange(method, params, descriptor)
        if passed is not None:
            os.close(passed)
        return found

    def call_for_file(self, method: str, /, **params: Any) -> tuple[Any, int]:
        """Calls a method with `pass_fd`: its result, and the descriptor of the open file, which the caller closes."""
        found, passed = self._exchange(method, params | {"pass_fd": True}, None)
        if passed is None:
            raise ProtocolError(f"{method}: no file came along with the answer")
        return found, passed

    def mixture(self, task: str, model: str | None = None) -> Mixture:
        """What is served for a task, with its file of multipliers open. Needs no access to the daemon's directories."""
        params = {"task": task} | ({} if model is None else {"model": model})
        facts, descriptor = self.call_for_file("mixture.get", **params)
        return Mixture(facts, descriptor)

    def stream(self, method: str, /, **params: Any) -> Iterator[Object]:
        """The parts of an answer as they come, as `generate` has them, and last its result, under the key "result".

        On a connection of its own, which is closed, and the request ended, where the iterator is closed.
        """
        connection = Connection(self.socket, self.timeout)
        try:
            number = connection.send(method, params | {"stream": True}, None)
            while (message := connection.receive(method)).get("method") == "part":
                yield message["params"]
            yield {"result": result(method, number, message)}
        finally:
            connection.close()

    def subscribe(
        self, events: Sequence[str] | None = None, *, after: int | None = None, reconnect: bool = True
    ) -> Subscription:
        """The daemon's events, each once and in order, for ever.

        `events`: only these kinds. `after`: from the one behind this sequence number; default only what happens from now on.
        `reconnect`: connect again where the daemon goes away, and go on behind the last event.
        """

        def connect() -> Connection:
            return Connection(self.socket, self.timeout)

        return Subscription(connect, list(events) if events is not None else None, after, reconnect)

    def _exchange(self, method: str, params: Object, descriptor: int | None) -> tuple[Any, int | None]:
        with self._lock:
            # Only what was surely not sent is sent again: many methods change something.
            if self._connection is not None and self._connection.is_closed_by_peer():
                self._close()
            if self._connection is None:
                self._connection = Connection(self.socket, self.timeout)
            connection = self._connection
            try:
                number = connection.send(method, params, descriptor)
                message = connection.receive(method)
                found = result(method, number, message)
            except T2Error as error:
                if error.kind in ("parse_error", "too_large"):
                    self._close()
                raise
            except BaseException:
                self._close()  # what comes of it now would be taken for another answer
                raise
            return found, connection.take_descriptor()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
