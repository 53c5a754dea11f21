"""The command t2-torch."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Before transformers is imported: it asks no hub for anything.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

log = logging.getLogger("t2_engines")

#: How long a step that runs may take to end. A factorization of a large matrix may take longer, and is not waited for.
STOP_SECONDS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="t2-torch", description="Serves a model of transformers to t2d.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a Hugging Face directory")
    serve.add_argument("model", type=Path, help="the directory, with config.json and *.safetensors")
    where = serve.add_mutually_exclusive_group(required=True)
    where.add_argument("--uds", type=Path, metavar="PATH", help="listen on a Unix socket, for its owner and group")
    where.add_argument("--port", type=int, metavar="N", help="listen on a port of loopback")
    serve.add_argument("--host", default="127.0.0.1", help="with --port: 127.0.0.1 (default), ::1 or localhost")
    serve.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="compute in it; default %(default)s",
    )
    serve.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    serve.add_argument("--threads", type=int, metavar="N", help="threads to compute with; default all cores")
    serve.add_argument(
        "--factors", type=Path, metavar="DIR", default=_factors(), help="keeps factorizations; default %(default)s"
    )
    serve.add_argument(
        "--batch-tokens",
        type=int,
        default=4096,
        metavar="N",
        help="tokens in a batch, with padding; default %(default)s",
    )
    return _serve(parser, parser.parse_args(arguments))


def _factors() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "t2-engines"


def _serve(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    for name in ("threads", "batch_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} is {value}; at least 1")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="t2-torch: %(message)s")
    # transformers and torch take seconds to import: not for a usage error.
    import torch

    from t2_engines import server
    from t2_engines.checkpoint import Checkpoint, CheckpointError
    from t2_engines.torch_engine.compute import Limits
    from t2_engines.torch_engine.engine import TorchEngine
    from t2_engines.torch_engine.model import load

    try:
        device = torch.device(options.device)
    except RuntimeError:
        parser.error(f"--device is '{options.device}'; cpu, cuda or cuda:N")
    if device.type not in ("cpu", "cuda"):
        parser.error(f"--device is '{options.device}'; cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        parser.error(
            f"--device is '{options.device}'; torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices"
        )
    if device.type == "cuda" and options.dtype != "float32":
        # Only the change by multipliers is in float32 then, and its ten bits of mantissa are more than the model's own.
        torch.backends.cuda.matmul.allow_tf32 = True
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        Checkpoint(options.model)  # what is wrong at first sight, before anything listens
        listener = server.listen_unix(options.uds) if options.uds else server.listen_tcp(options.host, options.port)
    except (CheckpointError, server.ListenError) as error:
        print(f"t2-torch: {error}", file=sys.stderr)
        return 1
    engine = TorchEngine(
        lambda tell: load(options.model, type=options.dtype, device=str(device), factors=options.factors, tell=tell),
        Limits(tokens=options.batch_tokens),
        options.threads,
    )

    def started() -> None:
        log.info("listening on %s", options.uds or f"{options.host}:{listener.getsockname()[1]}")
        engine.start()

    server.serve(engine, listener, started)
    if engine.failure is not None:
        print(f"t2-torch: {engine.failure}", file=sys.stderr)
    code = 0 if engine.failure is None else 1
    if not engine.stop(STOP_SECONDS):
        # The interpreter would wait for what cannot be interrupted.
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
