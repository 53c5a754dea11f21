"""t2-vllm: what it sets, what it refuses, and that it ends what it started. vLLM is a script here."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from conftest import wait_until
from fake_vllm import make_model

from t2_engines.server import ListenError
from t2_engines.version import VERSION
from t2_engines.vllm import cli
from t2_engines.vllm.starting import StandIn, Starting
from t2_engines.vllm.targets import Settings

SETTINGS = Settings(VERSION, "/models/tiny", "sha256:0", "/factors", "added", "/run/x/mixtures", 1)


def given(*vllm: str, **changes: object) -> argparse.Namespace:
    return argparse.Namespace(
        **({"port": None, "tensor_parallel_size": 2, "mixtures": 8, "vllm": list(vllm)} | changes)
    )


def test_the_command_sets_all_that_must_be_set() -> None:
    command = cli.vllm_command(SETTINGS, given("--dtype", "bfloat16"), Path("/run/x/vllm.sock"))
    text = " ".join(command)
    assert (
        "-m vllm.entrypoints.openai.api_server --model /models/tiny --served-model-name tiny --uds /run/x/vllm.sock"
        in text
    )
    assert "--enable-lora --max-lora-rank 1 --max-loras 8 --max-cpu-loras 1024" in text
    assert (
        "--lora-target-modules qkv_proj o_proj gate_up_proj down_proj --logprobs-mode raw_logprobs --dtype bfloat16"
        in text
    )
    assert "lm_head" not in text
    assert json.loads(command[command.index("--additional-config") + 1])["t2"]["digest"] == "sha256:0"
    assert "--host 127.0.0.1 --port 9" in " ".join(cli.vllm_command(SETTINGS, given(port=9), None))
    assert cli.vllm_command(SETTINGS, given("--served-model-name", "x"), None).count("--served-model-name") == 1


def test_the_environment_has_the_plugins_and_no_open_doors() -> None:
    made = cli.vllm_environment(
        {"VLLM_SERVER_DEV_MODE": "1", "VLLM_LORA_ENABLE_DUAL_STREAM": "1", "VLLM_PLUGINS": "mine,t2", "HOME": "/h"},
        Path("/run/t2d/t2d.sock"),
    )
    assert (
        made["VLLM_PLUGINS"] == "mine,t2,t2_resolver"
        and made["HOME"] == "/h"
        and made["T2D_SOCKET"] == "/run/t2d/t2d.sock"
    )
    assert "VLLM_SERVER_DEV_MODE" not in made and "VLLM_LORA_ENABLE_DUAL_STREAM" not in made


@pytest.mark.parametrize(
    "argument",
    [
        "--max-lora-rank=8",
        "--lora-target-modules",
        "--host",
        "--max_loras",
        "-tp",
        "--pipeline-parallel-size",
        "--worker-extension-cls",
    ],
)
def test_arguments_that_would_undo_it_are_refused_by_name(argument: str) -> None:
    with pytest.raises(cli.UsageError, match="'" + argument.partition("=")[0].replace("_", "-") + "' cannot be given"):
        cli.check_arguments(["--dtype", "float32", argument, "1"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["serve"], "MODEL"),
        (["serve", "x", "--mixtures", "0"], "invalid _positive value"),
        (["serve", "x", "--uds", "a", "--port", "1"], "not allowed with"),
        (["prepare", "x", "--", "--dtype"], "only serve takes"),
    ],
)
def test_wrong_usage_ends_with_3(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(arguments)
    assert raised.value.code == 3 and message in capsys.readouterr().err


def test_prepare_prints_the_digest_of_the_model_and_says_what_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, digest = make_model(tmp_path / "model")
    assert cli.main(["prepare", str(tmp_path / "model"), "--factors", str(tmp_path / "new"), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.strip() == digest
    assert (tmp_path / "new" / (digest[7:] + ".safetensors")).is_file()
    assert cli.main(["prepare", str(tmp_path / "none"), "--factors", str(tmp_path / "new")]) == 1
    assert "is no directory" in capsys.readouterr().err


SERVER = """
import os, signal, socket, subprocess, sys, time
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
left = subprocess.Popen([sys.executable, "-c", stubborn])
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
open(sys.argv[2] + ".new", "w").write(f"{os.getpid()} {left.pid}")
os.rename(sys.argv[2] + ".new", sys.argv[2])
if len(sys.argv) > 3:
    sys.exit(int(sys.argv[3]))
time.sleep(600)
"""
RUN = "import sys; from t2_engines.vllm import cli; import os; sys.exit(cli._run(sys.argv[1:], os.environ))"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start(path: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    command = [
        sys.executable,
        "-c",
        RUN,
        sys.executable,
        "-c",
        SERVER,
        str(path / "vllm.sock"),
        str(path / "pids"),
        *arguments,
    ]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    wait_until("the server starts", (path / "pids").exists)
    return process, [int(pid) for pid in (path / "pids").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_it(tmp_path: Path, number: signal.Signals) -> None:
    process, pids = start(tmp_path)
    assert (tmp_path / "vllm.sock").stat().st_mode & 0o777 == 0o770, "for its owner and its group"
    process.send_signal(number)
    assert process.wait(30) == 0
    wait_until("what vLLM left is ended", lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize(("its", "ours"), [(7, 7), (0, 1)])
def test_vllm_that_ends_by_itself_ends_all_of_it_and_never_with_success(tmp_path: Path, its: int, ours: int) -> None:
    process, pids = start(tmp_path, str(its))
    assert process.wait(30) == ours
    wait_until("what vLLM left is ended", lambda: not any(alive(pid) for pid in pids))


def test_vllm_does_not_outlive_t2_vllm(tmp_path: Path) -> None:
    process, pids = start(tmp_path)
    process.kill()
    process.wait(30)
    try:
        wait_until("the API server is told to end", lambda: not alive(pids[0]))
    finally:
        os.kill(pids[1], signal.SIGKILL)


def test_a_runtime_directory_is_one_engines(tmp_path: Path) -> None:
    cli.claim(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    with pytest.raises(cli.UsageError, match="another t2-vllm uses"):
        cli.claim(tmp_path / "new")


def ask(path: Path) -> dict[str, object]:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://engine") as client:
        answer = client.get("/t2/facts")
        error: dict[str, object] = answer.json()["error"]
        assert answer.status_code == 503
        return error


def test_until_vllm_listens_its_socket_says_how_far_it_is(tmp_path: Path) -> None:
    starting = Starting()
    stand_in = StandIn(tmp_path / "vllm.sock", starting)
    try:
        starting.say("factorizing on cpu: 45 %", 0.45)
        assert ask(stand_in.path) == {"code": "not_ready", "message": "factorizing on cpu: 45 %", "progress": 0.45}
        assert not stand_in.hand_over()
        with socket.socket(socket.AF_UNIX) as vllm:
            vllm.bind(str(stand_in.beside))
            assert not stand_in.hand_over(), "vLLM binds long before it listens"
            vllm.listen()
            assert stand_in.hand_over() and stand_in.hand_over()
            assert not stand_in.beside.exists()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(stand_in.path))
                vllm.accept()[0].close()
                vllm.settimeout(10)
                connection, _ = vllm.accept()
                connection.close()
    finally:
        stand_in.close()
    assert list(tmp_path.iterdir()) == []


def test_a_socket_on_which_somebody_listens_is_not_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "vllm.sock"))
        listener.listen()
        with pytest.raises(ListenError, match="another process listens"):
            StandIn(tmp_path / "vllm.sock", Starting())


def test_the_progress_of_the_factorization_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    _, digest = make_model(tmp_path / "model")
    said: list[tuple[str, float | None]] = []

    class Heard(Starting):
        def say(self, doing: str, progress: float | None = None) -> None:
            said.append((doing, progress))

    assert cli._prepared(tmp_path / "model", tmp_path / "new", "cpu", Heard()) == digest
    assert said[0] == ("the model is read", None) and ("factorizing on cpu: 50 %", 0.5) in said
    assert cli._prepared(tmp_path / "none", tmp_path / "new", "cpu", Heard()) is None


def test_a_signal_while_it_factorizes_ends_that_too_and_leaves_no_socket(tmp_path: Path) -> None:
    """What factorizes is a script here that never ends; vLLM is a module with a version."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text('__version__ = "0.32.0+cpu"')
    slow = tmp_path / "slow"
    slow.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/pid.new && mv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 600\n"
    )
    slow.chmod(0o755)
    run = "import sys; from t2_engines.vllm import cli; sys.executable = sys.argv[1]; sys.exit(cli.main(sys.argv[2:]))"
    command = [sys.executable, "-c", run, str(slow), "serve", "/nowhere", "--runtime", str(tmp_path / "run")]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])})
    wait_until("it factorizes", (tmp_path / "pid").exists)
    assert ask(tmp_path / "run" / "vllm.sock")["message"] == "the model is read"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not (tmp_path / "run" / "vllm.sock").exists()
    wait_until("the factorization is ended", lambda: not alive(int((tmp_path / "pid").read_text())))


def test_without_vllm_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    assert cli.main(["serve", "/nowhere"]) == 1
    assert "pip install 't2-engines[vllm]'" in capsys.readouterr().err
