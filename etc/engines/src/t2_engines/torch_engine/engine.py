"""The engine of PyTorch behind the protocol: mixtures by digest, and works for the compute thread."""

from __future__ import annotations

import logging
import os
import signal
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from t2_engines import wire
from t2_engines.checkpoint import CheckpointError
from t2_engines.layout import Multipliers
from t2_engines.server import Engine, GradientAnswer, LogitsAnswer, ScoreAnswer
from t2_engines.torch_engine import compute
from t2_engines.torch_engine.compute import Decoding, Limits
from t2_engines.torch_engine.model import LoadedModel
from t2_engines.torch_engine.worker import Worker
from t2_engines.version import PROTOCOL, VERSION
from t2_engines.wire import EngineError, Facts

log = logging.getLogger("t2_engines")

#: Distinct mixtures in one request.
MIXTURES_AT_ONCE = 64
#: Mixtures are kept up to this many bytes, and the last MIXTURES_AT_ONCE always; those that were used least lately go first.
MIXTURE_BYTES = 1 << 30


class _Stopping(Exception):
    """The engine was stopped before it had a model."""


class TorchEngine(Engine):
    """Its methods are for the event loop, which alone touches the mixtures and the state."""

    def __init__(
        self,
        load: Callable[[Callable[[str, float | None], None]], LoadedModel],
        limits: Limits,
        threads: int | None = None,
    ) -> None:
        """`load` runs in the compute thread, once `start` was called, and is given what tells its progress."""
        self._load = load
        self._limits = limits
        self._worker = Worker(threads)
        self._loaded: LoadedModel | None = None
        self._facts: Facts | None = None
        self._doing: tuple[str, float | None] = ("starting", None)
        self._held: OrderedDict[str, Multipliers] = OrderedDict()
        #: Why the model could not be loaded.
        self.failure: str | None = None

    def start(self) -> None:
        """Starts the compute thread, whose first work is to load the model. Where that fails the process is sent SIGTERM."""
        self._worker.start()
        self._worker.submit(compute.once(self._loading), self._ended_loading)

    def stop(self, seconds: float) -> bool:
        return self._worker.stop(seconds)

    def _loading(self) -> tuple[LoadedModel, Facts]:
        def tell(what: str, progress: float | None) -> None:
            if self._worker.is_stopping:
                raise _Stopping
            log.info("%s", what)
            self._doing = (what, progress)

        loaded = self._load(tell)
        tell("trying the model", None)
        compute.probe(loaded)
        for text in (*loaded.warnings, *loaded.notes):
            log.warning("%s", text)
        return loaded, _facts(loaded)

    def _ended_loading(self, result: Any, error: BaseException | None) -> None:
        # In the compute thread. The facts come last: whoever sees them may ask for everything.
        if error is None:
            self._loaded, self._facts = result
            return
        if isinstance(error, _Stopping):
            return
        self.failure = (
            str(error) if isinstance(error, (CheckpointError, EngineError)) else f"{type(error).__name__}: {error}"
        )
        if not isinstance(error, (CheckpointError, EngineError)):
            log.error("cannot load the model", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)

    def _ready(self) -> LoadedModel:
        if self.failure is not None:
            raise EngineError("dead", f"the model could not be loaded: {self.failure}")
        if self._facts is None or self._loaded is None:
            what, progress = self._doing
            members = {} if progress is None else {"progress": progress}
            raise EngineError("not_ready", f"the engine is starting: {what}", **members)
        return self._loaded

    async def facts(self) -> Facts:
        self._ready()
        assert self._facts is not None
        return self._facts

    async def file(self, name: str) -> bytes:
        return self._ready().files[name].read()

    async def sigma(self) -> npt.NDArray[np.float64]:
        return self._ready().sigma

    def mixture_digest(self, multipliers: Multipliers) -> str:
        return self._ready().layout.mixture_digest(multipliers)

    async def put(self, digest: str, multipliers: Multipliers) -> list[str]:
        loaded = self._ready()
        self._held[digest] = multipliers
        self._held.move_to_end(digest)
        most = max(MIXTURES_AT_ONCE, MIXTURE_BYTES // max(1, multipliers.nbytes))
        while len(self._held) > most:
            self._held.popitem(last=False)
        return [loaded.layout.mixture_digest(self._held[digest])]

    async def delete(self, digest: str) -> None:
        self._ready()
        self._held.pop(digest, None)

    def _vectors(self, mixtures: Sequence[str | None]) -> list[tuple[str | None, Multipliers | None]]:
        """Each mixture once, with its multipliers."""
        found: dict[str | None, Multipliers | None] = {}
        for name in mixtures:
            if name is None:
                found[name] = None
            elif name in self._held:
                self._held.move_to_end(name)
                found[name] = self._held[name]
            else:
                raise wire.unknown_mixture(name)
        return list(found.items())

    async def score(self, request: wire.ScoreRequest) -> ScoreAnswer:
        loaded = self._ready()
        held = self._vectors([item.mixture for item in request.items])
        return await self._worker.run(compute.score(loaded, self._limits, request, held))

    async def logits(self, request: wire.LogitsRequest) -> LogitsAnswer:
        loaded = self._ready()
        return await self._worker.run(compute.next_logits(loaded, request.prompt, self._vectors([request.mixture])))

    async def gradient(self, request: wire.GradientRequest) -> GradientAnswer:
        loaded = self._ready()
        [(digest, multipliers)] = self._vectors([request.mixture])
        return await self._worker.run(compute.gradient(loaded, self._limits, request, multipliers, digest))

    async def generate(self, request: wire.GenerateRequest) -> AsyncGenerator[dict[str, Any], None]:
        loaded = self._ready()
        held = self._vectors([request.mixture])

        def begin() -> tuple[Decoding, int]:
            decoding = Decoding(loaded, request, held)
            return decoding, decoding.next()

        # Before the first line, so that a prompt that fails has a status of its own.
        decoding, token = await self._worker.run(compute.once(begin))
        yield {"mixtures": decoding.mixtures.read_back}
        yield {"token": token}
        while decoding.end is None:
            yield {"token": await self._worker.run(compute.once(decoding.next))}
        yield {"end": decoding.end}


def _facts(loaded: LoadedModel) -> Facts:
    return Facts(
        protocol=PROTOCOL,
        engine=wire.EngineFacts(
            name="torch",
            version=f"t2-engines {VERSION}, torch {torch.__version__}, transformers {transformers.__version__}",
            type=loaded.type,
            device=str(loaded.device),
            parallelism=1,
        ),
        model=wire.ModelFacts(
            id=loaded.id,
            architecture=loaded.architecture,
            parameters=loaded.parameters,
            layers=loaded.layers,
            hidden=loaded.hidden,
            vocabulary=loaded.vocabulary,
            context=loaded.context,
            stored=loaded.stored,
            digest=loaded.digest,
            end_ids=loaded.end_ids,
        ),
        targets=[
            wire.TargetFacts(name=target.name, rows=target.rows, columns=target.columns) for target in loaded.layout
        ],
        abilities=wire.Abilities(gradients=True, logits=True, generate=True, images=False, mixtures=MIXTURES_AT_ONCE),
        files={name: wire.FileFacts(bytes=file.size, digest=file.digest) for name, file in loaded.files.items()},
        warnings=[*loaded.warnings, *loaded.notes],
    )
