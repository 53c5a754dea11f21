"""The daemon's events, through its restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from t2client.client import Connection

#: Seconds before it is tried again to reach the daemon: the first time, and at most.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
#: Events that are asked for at once, of those that have happened.
PAGE = 1000


class Subscription(Iterator[dict[str, Any]]):
    """An iterator of events, for one thread. `close` it from that thread, or use it in a `with`."""

    def __init__(
        self, connect: Callable[[], Connection], events: list[str] | None, after: int | None, reconnect: bool
    ) -> None:
        self._connect = connect
        self._events = events
        self._reconnect = reconnect
        self._is_closed = False
        #: The number of the last event that was seen, from which it goes on.
        self.after = after
        #: The first event that the daemon still had, where some that were asked for had gone: those are missed. None else.
        self.history_begins: int | None = None
        self._iterator = self._follow()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> dict[str, Any]:
        return next(self._iterator)

    def close(self) -> None:
        """Closes the connection; the iterator ends."""
        self._iterator.close()

    def _follow(self) -> Generator[dict[str, Any], None, None]:
        from t2client.client import ConnectionLost

        pause = FIRST_PAUSE
        while True:
            try:
                connection = self._connect()
            except ConnectionLost:
                # The first time an error is the caller's: a wrong path would be tried for ever.
                if not self._reconnect or self.after is None:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            try:
                for event in self._session(connection):
                    pause = FIRST_PAUSE
                    yield event
            except ConnectionLost:
                if not self._reconnect or self.after is None:
                    raise
            finally:
                connection.close()

    def _session(self, connection: Connection) -> Iterator[dict[str, Any]]:
        from t2client.client import result

        method = "events.subscribe"
        while True:
            params: dict[str, Any] = {"limit": PAGE} if self.after is not None else {"limit": 1}
            params |= {} if self.after is None else {"after": self.after}
            params |= {} if self._events is None else {"events": self._events}
            answer = result(method, connection.send(method, params, None), connection.receive(method))
            if self.after is None:
                self.after = int(answer["sequence"])
                break
            if answer.get("history_begins") is not None:
                self.history_begins = int(answer["history_begins"])
            for event in answer["events"]:
                self.after = int(event["sequence"])
                yield event
            if answer.get("next") is None:
                break
            self.after = int(answer["next"])
        connection.wait_for_ever()
        while True:
            message = connection.receive(method)
            if message.get("method") == "event":
                event = message["params"]
                self.after = int(event["sequence"])
                yield event
