"""A vLLM that is none: requests, adapters and slots as its API server shows them, with knobs for every way in which it fails.

Its ln p are a function of the tokens and of the multipliers that lie in the adapter's files, so that an answer tells
under which mixture it was made.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from t2_engines.checkpoint import Checkpoint
from t2_engines.layout import Layout, Multipliers
from t2_engines.svf import FactorCache, model_digest
from t2_engines.version import VERSION
from t2_engines.vllm import adapters
from t2_engines.vllm.engine import Served, VLLMEngine
from t2_engines.vllm.targets import Settings, layout_of

VOCABULARY = 50
CONTEXT = 20
END = 2


class Died(Exception):
    """The engine behind has died."""


class Refused(Exception):
    """vLLM refuses a request."""


class FakeBinding:
    def prompt(self, ids: Sequence[int], salt: str) -> Any:
        return SimpleNamespace(ids=list(ids), salt=salt)

    def adapter(self, name: str, number: int, path: str) -> Any:
        return SimpleNamespace(name=name, number=number, path=path)

    def scoring(self, *, prompt: bool, next_tokens: Sequence[int]) -> Any:
        assert len(next_tokens) <= 128
        return SimpleNamespace(prompt=prompt, next=list(next_tokens), max_tokens=1, stop=[], log_probabilities=True)

    def generating(self, **given: Any) -> Any:
        return SimpleNamespace(
            prompt=False,
            next=[],
            max_tokens=given["max_tokens"],
            stop=given["stop_ids"],
            log_probabilities=given.get("log_probabilities", False),
        )

    def is_dead(self, error: BaseException) -> bool:
        return isinstance(error, Died)

    def is_bad_request(self, error: BaseException) -> bool:
        return isinstance(error, Refused)


def ln_p(before: Sequence[int], token: int, multipliers: Multipliers | None) -> float:
    draw = int.from_bytes(hashlib.sha256(json.dumps([list(before), token]).encode()).digest()[:4]) / 2**32
    strength = (
        1.0
        if multipliers is None
        else 1 + float(np.dot(multipliers - 1, np.cos(np.arange(len(multipliers)) * np.pi)) / len(multipliers))
    )
    return float(np.float32(-(0.5 + 5 * draw) * strength))


@dataclass
class FakeVLLM:
    """What a test turns: each knob says how this vLLM fails."""

    layout: Layout
    digest: str
    ranks: int = 2
    slots: int = 2
    armed: Sequence[bool] = (True, True)
    not_armed_why: str = "vLLM is 0.99"
    acts: bool = True
    decodes_as_base: bool = False
    #: What requests end with instead.
    finish: str | None = None
    cut: bool = False
    #: Adapters whose slots report the mixture of another one, by rank.
    wrong_on_rank: int | None = None
    #: How often the read-back knows nothing of any adapter.
    forgets: int = 0
    cache_is_in_use: bool = False
    swap_fails: bool = False
    verify_difference: float = 0.0
    refuses: bool = False
    #: Requests wait for it.
    gate: asyncio.Event | None = None

    errored: bool = False
    loaded: dict[int, Multipliers] = field(default_factory=dict)
    in_slots: list[int] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    swapped: str | None = None

    def _load(self, request: Any) -> Multipliers:
        if request.number not in self.loaded:
            # A file that has gone ends vLLM for good when a batch needs it.
            self.loaded[request.number] = adapters.read(Path(request.path), self.layout)[0]
        if request.number in self.in_slots:
            self.in_slots.remove(request.number)
        self.in_slots.append(request.number)
        del self.in_slots[: -self.slots]
        return self.loaded[request.number]

    async def generate(
        self, prompt: Any, parameters: Any, request_id: str, *, lora_request: Any = None
    ) -> AsyncGenerator[Any, None]:
        if self.errored:
            raise Died
        if self.refuses:
            raise Refused("max_tokens must be even")
        self.requests.append(SimpleNamespace(prompt=prompt, parameters=parameters, adapter=lora_request))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if self.errored:
                raise Died
            multipliers = None
            if lora_request is not None and self.acts:
                multipliers = self._load(lora_request)
            ids = list(prompt.ids)
            inner = [None] + [
                {ids[i]: SimpleNamespace(logprob=ln_p(ids[:i], ids[i], multipliers))} for i in range(1, len(ids))
            ]
            if parameters.next:
                position = {token: SimpleNamespace(logprob=ln_p(ids, token, multipliers)) for token in parameters.next}
                made = SimpleNamespace(token_ids=[0], logprobs=[position], finish_reason=self.finish or "length")
                yield SimpleNamespace(prompt_logprobs=inner if parameters.prompt else None, outputs=[made])
                return
            decoding = None if self.decodes_as_base else multipliers
            for step in range(parameters.max_tokens):
                token = max(range(VOCABULARY), key=lambda candidate: ln_p(ids, candidate, decoding))
                last = token in parameters.stop
                end = "stop" if last else "length" if step == parameters.max_tokens - 1 else None
                log_probabilities = (
                    [{token: SimpleNamespace(logprob=ln_p(ids, token, decoding))}]
                    if parameters.log_probabilities
                    else None
                )
                if self.cut and step == 1:
                    return
                yield SimpleNamespace(
                    prompt_logprobs=None,
                    outputs=[
                        SimpleNamespace(
                            token_ids=[token],
                            logprobs=log_probabilities,
                            finish_reason=self.finish if end and self.finish else end,
                        )
                    ],
                )
                if end:
                    return
                ids.append(token)
                await asyncio.sleep(0)
        finally:
            self.running -= 1

    async def add_lora(self, request: Any) -> bool:
        if self.errored:
            raise Died
        self._load(request)
        return True

    async def remove_lora(self, number: int) -> bool:
        self.calls.append(f"remove {number}")
        self.loaded.pop(number, None)
        return True

    async def collective_rpc(
        self, method: str, timeout: float | None = None, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> list[Any]:
        if self.errored:
            raise Died
        self.calls.append(method)
        return [getattr(self, method)(rank, *args) for rank in range(self.ranks)]

    def t2_state(self, rank: int) -> dict[str, Any]:
        if not self.armed[rank]:
            return {"rank": rank, "armed": False, "why": self.not_armed_why}
        return {
            "rank": rank,
            "armed": True,
            "version": VERSION,
            "digest": self.digest,
            "forms": {"output": len(self.layout)},
            "swapped": self.swapped,
        }

    def t2_read_back(self, rank: int, numbers: list[int]) -> dict[str, Any]:
        found: dict[str, list[str]] = {}
        for number in numbers:
            read = self.loaded.get(number)
            if self.forgets or read is None:
                found[str(number)] = []
            else:
                wrong = self.wrong_on_rank == rank
                found[str(number)] = [self.layout.mixture_digest(np.ones_like(read) if wrong else read)]
        if rank == self.ranks - 1 and self.forgets:
            self.forgets -= 1
        return {"rank": rank, "adapters": found}

    def t2_slots(self, rank: int) -> dict[str, Any]:
        return {"rank": rank, "slots": {}}

    def t2_forget(self, rank: int, number: int) -> None:
        return None

    def t2_swap(self, rank: int, path: str | None) -> dict[str, Any]:
        if self.swap_fails and path is not None:
            raise RuntimeError("rank 1: CUDA error")
        self.swapped = adapters.read(Path(path), self.layout)[1] if path is not None else None
        return {"rank": rank, "swapped": self.swapped}

    def t2_verify(self, rank: int) -> dict[str, Any]:
        difference = self.verify_difference if self.swapped is not None else 0.0
        return {
            "rank": rank,
            "swapped": self.swapped,
            "difference": difference,
            "layer": "model.layers.0.mlp.down_proj",
            "tolerance": 1e-4,
        }

    async def reset_prefix_cache(self) -> bool:
        self.calls.append("reset_prefix_cache")
        return not (self.cache_is_in_use and self.swapped is not None)

    async def pause_generation(self, *, mode: str) -> None:
        self.calls.append(f"pause {mode}")

    async def resume_generation(self) -> None:
        self.calls.append("resume")


def make_model(directory: Path) -> tuple[Layout, str]:
    """A directory with a model's files, its layout and digest; factorized beside."""
    directory.mkdir()
    generator = torch.Generator().manual_seed(1)
    shapes = {
        "self_attn.q_proj": (8, 8),
        "self_attn.k_proj": (4, 8),
        "self_attn.v_proj": (4, 8),
        "self_attn.o_proj": (8, 8),
    }
    shapes |= {"mlp.gate_proj": (12, 8), "mlp.up_proj": (12, 8), "mlp.down_proj": (8, 12)}
    tensors = {
        f"model.layers.{i}.{n}.weight": torch.randn(s, generator=generator) for i in range(2) for n, s in shapes.items()
    }
    save_file(tensors | {"model.embed_tokens.weight": torch.zeros(VOCABULARY, 8)}, directory / "model.safetensors")
    config = {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 8,
        "vocab_size": VOCABULARY,
        "eos_token_id": END,
    }
    (directory / "config.json").write_text(json.dumps(config))
    checkpoint = Checkpoint(directory)
    layout = layout_of(checkpoint)

    digest = model_digest(layout, lambda target: checkpoint.matrix(target.name))
    FactorCache(directory.parent / "factors").read_or_make(
        digest, layout, lambda target: checkpoint.matrix(target.name)
    )
    return layout, digest


def make_engine(directory: Path, mixture_bytes: int = 1 << 20, **knobs: Any) -> tuple[VLLMEngine, FakeVLLM]:
    """An engine over a fake, not started."""
    layout, digest = make_model(directory / "model")
    fake = FakeVLLM(layout, digest, **knobs)
    settings = Settings(
        version=VERSION,
        model=str(directory / "model"),
        digest=digest,
        factors=str(directory / "factors"),
        form="added",
        mixtures=str(directory / "runtime" / "mixtures"),
        mixture_bytes=mixture_bytes,
    )
    served = Served("model", "0.32.0", "float32", "cpu", fake.ranks, CONTEXT, fake.slots)
    return VLLMEngine(fake, FakeBinding(), settings, served), fake
