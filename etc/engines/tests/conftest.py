"""What the tests share: a server of the protocol in a thread, over a real Unix socket, and a client for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from t2_engines import server

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

Start = Callable[..., httpx.Client]


def wait_until(what: str, holds: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for what another thread or process does; fails where it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.005)


def running(
    engine: server.Engine, path: Path, stack: ExitStack, largest_body: int = server.LARGEST_BODY
) -> httpx.Client:
    """Serves an engine on a socket until the stack ends; gives a client of it."""
    application = Starlette()
    server.add_routes(application, engine, largest_body)
    listener = server.listen_unix(path)
    config = uvicorn.Config(application, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    served = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: served.run(sockets=[listener]))
    thread.start()

    def end() -> None:
        served.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
        listener.close()
        path.unlink()

    stack.callback(end)
    wait_until("the server starts", lambda: served.started)
    return stack.enter_context(
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://engine", timeout=120)
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Serves an engine for one test, and gives a client of it."""
    with ExitStack() as stack:
        yield lambda engine, **options: running(engine, tmp_path / "engine.sock", stack, **options)
