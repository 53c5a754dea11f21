"""What the engine needs of vLLM's API server, and no more: a place for fakes, and the only imports of vLLM outside of
its workers.

`Client` is the part of vLLM's EngineClient that is used; `Binding` makes what it takes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol


class Client(Protocol):
    """vLLM's engine, as its API server has it."""

    @property
    def errored(self) -> bool: ...

    def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, *, lora_request: Any = None
    ) -> AsyncGenerator[Any, None]: ...

    async def add_lora(self, lora_request: Any) -> bool: ...

    async def remove_lora(self, lora_id: int) -> bool: ...

    async def collective_rpc(
        self, method: str, timeout: float | None = None, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> list[Any]: ...

    async def reset_prefix_cache(self) -> bool: ...

    async def pause_generation(self, *, mode: str) -> None: ...

    async def resume_generation(self) -> None: ...


class Binding(Protocol):
    """Makes vLLM's objects."""

    def prompt(self, ids: Sequence[int], salt: str) -> Any: ...

    def adapter(self, name: str, number: int, path: str) -> Any: ...

    def scoring(self, *, prompt: bool, next_tokens: Sequence[int]) -> Any:
        """Parameters of one step: ln p of the prompt's own tokens where `prompt`, and of some tokens behind it."""

    def generating(
        self,
        *,
        max_tokens: int,
        stop_ids: Sequence[int],
        temperature: float,
        top_p: float,
        seed: int,
        log_probabilities: bool = False,
    ) -> Any:
        """Parameters of an answer, whose tokens come as they are made."""

    def is_dead(self, error: BaseException) -> bool: ...

    def is_bad_request(self, error: BaseException) -> bool: ...


class VLLMBinding:
    """The binding to the installed vLLM."""

    def prompt(self, ids: Sequence[int], salt: str) -> Any:
        from vllm.inputs.engine import tokens_input

        return tokens_input(list(ids), cache_salt=salt)

    def adapter(self, name: str, number: int, path: str) -> Any:
        from vllm.lora.request import LoRARequest

        return LoRARequest(lora_name=name, lora_int_id=number, lora_path=path)

    def scoring(self, *, prompt: bool, next_tokens: Sequence[int]) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        return SamplingParams(
            max_tokens=1,
            temperature=0.0,
            ignore_eos=True,
            detokenize=False,
            prompt_logprobs=0 if prompt else None,
            logprob_token_ids=list(next_tokens) or None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def generating(
        self,
        *,
        max_tokens: int,
        stop_ids: Sequence[int],
        temperature: float,
        top_p: float,
        seed: int,
        log_probabilities: bool = False,
    ) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        return SamplingParams(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p if temperature > 0 else 1.0,
            # vLLM's seeds are of 64 bits with a sign.
            seed=seed % (1 << 63) if temperature > 0 else None,
            stop_token_ids=list(stop_ids) or None,
            ignore_eos=True,
            detokenize=False,
            logprobs=0 if log_probabilities else None,
            output_kind=RequestOutputKind.DELTA,
        )

    def is_dead(self, error: BaseException) -> bool:
        from vllm.v1.engine.exceptions import EngineDeadError

        return isinstance(error, EngineDeadError)

    def is_bad_request(self, error: BaseException) -> bool:
        from vllm.exceptions import VLLMClientError

        return isinstance(error, VLLMClientError)
