"""The engine of the protocol over vLLM, in its API server: scores and answers by vLLM's own requests, each with its mixture.

A score is one request of vLLM for each distinct prefix: of a continuation c after a prompt p vLLM is sent p and c but
for its last token, and asked for ln p of the prompt's tokens and of those that may come last. So the model sees no
token whose answer nobody reads, a text may fill the context, and single tokens after one prompt (lettered choices) are
one request that reads the prefix cache.

Nothing is believed that was not read back. Each mixture that a request used is read back on every rank behind it, and
each time that it came into a slot meanwhile: another one than was asked for, and nothing is answered. At the start a
mixture of the engine's own is sent through the whole of it, so that a layer that is armed and goes around (in a graph
that was compiled without it) is found.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from t2_engines import wire
from t2_engines.checkpoint import Checkpoint, CheckpointError, ServedFile, read_json, served_files
from t2_engines.layout import Layout, Multipliers
from t2_engines.server import Engine, GradientAnswer, LogitsAnswer, ScoreAnswer
from t2_engines.svf import FactorCache, sigma_vector
from t2_engines.version import PROTOCOL, VERSION
from t2_engines.vllm import adapters
from t2_engines.vllm.binding import Binding, Client
from t2_engines.vllm.mixtures import Held, Mixtures
from t2_engines.vllm.targets import Settings, layout_of
from t2_engines.wire import (
    Abilities,
    EngineError,
    EngineFacts,
    Facts,
    FileFacts,
    GenerateRequest,
    GradientRequest,
    LogitsRequest,
    ModelFacts,
    ReadBack,
    ScoreRequest,
    TargetFacts,
)

#: Below vLLM's own logger, whose handlers the messages so reach.
log = logging.getLogger("vllm.t2_engines")

#: Mixtures that are held, and of them those that one request may name.
MOST_HELD = 512
MOST_AT_ONCE = 256
#: vLLM answers at most so many tokens behind one prefix.
_MOST_NEXT = 128
#: Log-probabilities that ought to be equal differ by no more than this, by the model's type.
_EQUAL = {"float32": 2e-3, "float16": 0.3, "bfloat16": 0.5}


@dataclass(frozen=True)
class Served:
    """What vLLM serves, as its configuration says."""

    name: str
    version: str
    type: str
    device: str
    parallelism: int
    context: int
    slots: int

    @classmethod
    def of(cls, vllm_config: Any, version: str) -> Served:
        model = vllm_config.model_config
        return cls(
            Path(model.model).name,
            version,
            str(model.dtype).removeprefix("torch."),
            str(vllm_config.device_config.device_type),
            vllm_config.parallel_config.tensor_parallel_size,
            model.max_model_len,
            vllm_config.lora_config.max_loras if vllm_config.lora_config is not None else 0,
        )


@dataclass
class _Prefix:
    """A request of vLLM: tokens, from which one of them on ln p is wanted (none where it is their count), and what may
    follow."""

    ids: tuple[int, ...]
    start: int
    next: dict[int, None] = field(default_factory=dict)


class VLLMEngine(Engine):
    """For one event loop. `start` is run once, beside the server; until it is done everything is `not_ready`."""

    def __init__(self, client: Client, binding: Binding, settings: Settings, served: Served) -> None:
        self.client = client
        self.settings = settings
        self.served = served
        self._binding = binding
        self._facts: Facts | None = None
        self._files: dict[str, ServedFile] = {}
        self._layout: Layout | None = None
        self._sigma: npt.NDArray[np.float64] | None = None
        self._mixtures: Mixtures | None = None
        self._failed: EngineError | None = None
        self._doing = "the workers are asked whether they are armed"
        self._numbers = count(1)
        #: What /t2/swap has changed the base's weights to, or is about to.
        self.swapped: str | None = None
        self._swaps = 0
        self._swapping = asyncio.Lock()

    # The start.

    async def start(self) -> None:
        """Finds out what is served and whether all ranks are armed, and proves it. What fails is what every request is
        answered."""
        try:
            await self._start()
        except EngineError as error:
            self._failed = error
            log.error("t2-engines: %s", error.message)
        except Exception as error:
            self._failed = self._worded(error, "start")
            log.exception("t2-engines: the engine cannot be used")

    async def _start(self) -> None:
        states = await self.client.collective_rpc("t2_state")
        if unarmed := [state for state in states if not state["armed"]]:
            whys = "; ".join(f"rank {state['rank']}: {state['why']}" for state in unarmed)
            raise EngineError("not_armed", f"vLLM is not armed, so nothing is answered: {whys}")
        for state in states:
            if state["version"] != VERSION or state["digest"] != self.settings.digest:
                raise EngineError(
                    "not_armed",
                    f"rank {state['rank']} of vLLM is armed by t2-engines {state['version']} for {state['digest']}; "
                    f"this is {VERSION} for {self.settings.digest}: start all of it again",
                )
        if len(states) != self.served.parallelism:
            raise EngineError("not_armed", f"{len(states)} ranks of vLLM are armed, of {self.served.parallelism}")
        self._doing = "the model's files are read"
        await asyncio.to_thread(self._read_model)
        assert self._layout is not None
        self._mixtures = Mixtures(
            Path(self.settings.mixtures),
            self._layout,
            self.settings.digest,
            self._binding,
            self._add,
            self._remove,
            most=MOST_HELD,
            most_bytes=self.settings.mixture_bytes,
        )
        await asyncio.to_thread(self._mixtures.empty_directory)
        self._doing = "a mixture is sent through the engine, to see that it acts"
        await self._prove()
        self._facts = self._made_facts(states)
        log.info("t2-engines: ready, %s on %d ranks", self.settings.digest, len(states))

    def _read_model(self) -> None:
        checkpoint = Checkpoint(self.settings.directory)
        self._checkpoint = checkpoint
        self._layout = layout_of(checkpoint)
        self._files, self._file_warnings = served_files(self.settings.directory)
        factors = FactorCache(Path(self.settings.factors)).read(self.settings.digest, self._layout)
        if factors is None:
            raise EngineError(
                "not_ready",
                f"the factorization in '{self.settings.factors}' went away while vLLM started; start t2-vllm again",
            )
        self._sigma = sigma_vector(self._layout, factors)

    def _made_facts(self, states: Sequence[dict[str, Any]]) -> Facts:
        layout, config = self._known_layout(), read_json(self.settings.directory / "config.json")
        inner = config.get("text_config")
        text: Mapping[str, Any] = inner if isinstance(inner, dict) else config
        stored = self._checkpoint.tensors
        forms = ", ".join(f"{number} {form}" for form, number in states[0]["forms"].items())
        return Facts(
            protocol=PROTOCOL,
            engine=EngineFacts(
                name="vllm",
                version=f"t2-engines {VERSION}, vllm {self.served.version} ({forms})",
                type=self.served.type,
                device=self.served.device,
                parallelism=self.served.parallelism,
            ),
            model=ModelFacts(
                id=self.served.name,
                architecture=str((config.get("architectures") or [config.get("model_type", "unknown")])[0]),
                parameters=sum(math.prod(tensor.shape) for tensor in stored.values()),
                layers=int(text["num_hidden_layers"]),
                hidden=int(text["hidden_size"]),
                vocabulary=int(text["vocab_size"]),
                context=self.served.context,
                stored=stored[layout.targets[0].name].type,
                digest=self.settings.digest,
                end_ids=self._checkpoint.end_ids(),
            ),
            targets=[TargetFacts(name=target.name, rows=target.rows, columns=target.columns) for target in layout],
            abilities=Abilities(gradients=False, logits=False, generate=True, images=False, mixtures=self._at_once()),
            files={name: FileFacts(bytes=file.size, digest=file.digest) for name, file in self._files.items()},
            warnings=[
                *self._file_warnings,
                "scores may differ in their last digits with what vLLM computes at the same time",
            ],
        )

    def _at_once(self) -> int:
        return max(1, min(MOST_AT_ONCE, self.settings.mixture_bytes // adapters.size_of(self._known_layout())))

    async def _prove(self) -> None:
        """Under multipliers of 1 the engine is the base; under others it is not, and its decoding then agrees with its
        scoring."""
        layout = self._known_layout()
        ones = np.ones(layout.count, np.float32)
        strong = np.where(np.arange(layout.count) % 2 == 0, np.float32(0.6), np.float32(1.4)).astype(np.float32)
        equal = _EQUAL.get(self.served.type, 0.5)
        ids = list(range(3, 11))
        held = {}
        for name, numbers in (("ones", ones), ("strong", strong)):
            digest = layout.mixture_digest(numbers)
            held[name] = await self._need_mixtures().put(digest, numbers)
        async with self._need_mixtures().using([each.digest for each in held.values()]):
            base = await self._whole(ids, None)
            same = await self._whole(ids, held["ones"])
            changed = await self._whole(ids, held["strong"])
            if (worst := _furthest(base, same)) > equal:
                raise EngineError(
                    "not_armed",
                    f"under multipliers of 1 vLLM answers otherwise than the base, by {worst:.2g} in ln p: it does "
                    f"not compute what t2-engines put there; start it with --enforce-eager",
                )
            if _furthest(base, changed) <= equal:
                raise EngineError(
                    "not_armed",
                    "a mixture changes nothing of what vLLM answers: its compiled graphs go around t2-engines' "
                    "layers; start it with --enforce-eager, and report it",
                )
            decoded: list[tuple[int, float]] = []
            parameters = self._binding.generating(
                max_tokens=4, stop_ids=[], temperature=0.0, top_p=1.0, seed=0, log_probabilities=True
            )
            async with aclosing(self._requested(ids, parameters, held["strong"])) as outputs:
                async for output in outputs:
                    made = output.outputs[0]
                    decoded += [
                        (token, made.logprobs[index][token].logprob) for index, token in enumerate(made.token_ids)
                    ]
            again = (await self._whole(ids + [token for token, _ in decoded], held["strong"]))[len(ids) - 1 :]
            if (worst := _furthest([value for _, value in decoded], again)) > equal:
                raise EngineError(
                    "not_armed",
                    f"vLLM's decoding differs from its scoring under a mixture, by {worst:.2g} in ln p: its graphs "
                    f"for decoding go around t2-engines' layers; start it with --enforce-eager",
                )
            await self._read_back(list(held.values()))
        for each in held.values():
            await self._need_mixtures().delete(each.digest)

    async def _whole(self, ids: Sequence[int], mixture: Held | None) -> list[float]:
        """ln p of every token but the first."""
        found = await self._prefix(_Prefix(tuple(ids[:-1]), 1, {ids[-1]: None}), mixture)
        return [*found[0], found[1][ids[-1]]]

    # The protocol.

    async def facts(self) -> Facts:
        self._check_alive()
        if self._facts is None:
            raise EngineError("not_ready", f"vLLM is starting: {self._doing}")
        return self._facts

    async def file(self, name: str) -> bytes:
        try:
            return await asyncio.to_thread(self._files[name].read)
        except (OSError, CheckpointError) as error:
            raise EngineError("internal", str(error)) from error

    async def sigma(self) -> npt.NDArray[np.float64]:
        await self.facts()
        assert self._sigma is not None
        return self._sigma

    def mixture_digest(self, multipliers: npt.NDArray[np.float32]) -> str:
        return self._known_layout().mixture_digest(multipliers)

    async def put(self, digest: str, multipliers: Multipliers) -> list[str]:
        await self.facts()
        await self._need_mixtures().put(digest, multipliers)
        async with self._need_mixtures().using([digest]) as used:
            return (await self._read_back(used))[digest]

    async def delete(self, digest: str) -> None:
        await self._need_mixtures().delete(digest)

    async def score(self, request: ScoreRequest) -> ScoreAnswer:
        await self.facts()
        async with self._need_mixtures().using(request.mixtures) as used:
            swaps = self._check_not_swapped()
            for again in (False, True):
                scores = await self._scored(request, {held.digest: held for held in used})
                read = await self._read_back(used, missing_is_wrong=again)
                # A mixture of which no rank knows anything was put out of its slot, and with it what it was: computed
                # once more.
                if all(read.values()):
                    self._check_not_swapped(swaps)
                    return ScoreAnswer(scores, read)
                for held in used:
                    if not read[held.digest]:
                        await self._calling(self.client.add_lora(held.request))
        raise AssertionError("the second time raises")

    async def logits(self, request: LogitsRequest) -> LogitsAnswer:
        raise EngineError("no_logits", "vLLM gives no logits; ask an engine of PyTorch")

    async def gradient(self, request: GradientRequest) -> GradientAnswer:
        raise EngineError(
            "no_gradients", "vLLM has no gradients; train and search by gradient with an engine of PyTorch"
        )

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[dict[str, Any], None]:
        facts = await self.facts()
        room = facts.model.context - len(request.prompt)
        asked = [request.mixture] if request.mixture is not None else []
        async with self._need_mixtures().using(asked) as used:
            swaps = self._check_not_swapped()
            yield {"mixtures": await self._read_back(used)}
            parameters = self._binding.generating(
                max_tokens=min(request.max_tokens, room),
                stop_ids=request.stop_ids,
                temperature=request.temperature,
                top_p=request.top_p,
                seed=request.seed,
            )
            end = None
            async with aclosing(self._requested(request.prompt, parameters, used[0] if used else None)) as outputs:
                async for output in outputs:
                    made = output.outputs[0]
                    for token in made.token_ids:
                        yield {"token": int(token)}
                    end = made.finish_reason or end
            await self._read_back(used)
            self._check_not_swapped(swaps)
            if end == "length" and room < request.max_tokens:
                end = "context"
            yield {"end": end}

    # Swapping: one mixture as the weights of the base.

    async def swap(self, digest: str | None) -> dict[str, Any]:
        """Gives the base the weights of a mixture, or its own again: requests wait, all ranks write, the cache is emptied,
        all ranks are read back, and only then requests go on. What fails leaves the base. Requests that were on their
        way to vLLM meanwhile are not answered."""
        await self.facts()
        async with self._swapping, self._need_mixtures().using([digest] if digest is not None else []) as used:
            before = self.swapped
            self._swaps += 1
            self.swapped = digest or before
            try:
                await self._calling(self.client.pause_generation(mode="wait"))
            except EngineError:
                self.swapped = before
                raise
            try:
                ranks = await self._swap_ranks(str(used[0].directory) if used else None, digest)
                self.swapped = digest
            except Exception as error:
                worded = self._worded(error, "swap")
                log.error("t2-engines: a swap failed: %s", worded.message)
                try:
                    await self._swap_ranks(None, None)
                except Exception as second:
                    self._failed = EngineError(
                        "dead",
                        f"a swap failed ({worded.message}), and the base could not be had back ({second}); "
                        "start t2-vllm again",
                    )
                    raise self._failed from second
                self.swapped = None
                raise worded from error
            finally:
                if self._failed is None:
                    await self._calling(self.client.resume_generation())
            return {"swapped": digest, "ranks": ranks}

    async def _swap_ranks(self, path: str | None, digest: str | None) -> list[dict[str, Any]]:
        await self._calling(self.client.collective_rpc("t2_swap", args=(path,)))
        if not await self._calling(self.client.reset_prefix_cache()):
            raise EngineError("internal", "vLLM's prefix cache could not be emptied; a request may still run")
        ranks: list[dict[str, Any]] = await self._calling(self.client.collective_rpc("t2_verify"))
        for rank in ranks:
            if rank["swapped"] != digest:
                raise EngineError(
                    "wrong_mixture",
                    f"rank {rank['rank']} has {rank['swapped'] or 'the base'}, and {digest or 'the base'} was asked for",
                )
            if not rank["difference"] <= rank["tolerance"]:
                raise EngineError(
                    "wrong_mixture",
                    f"rank {rank['rank']}: '{rank['layer']}' answers otherwise than {digest or 'the base'}, by "
                    f"{rank['difference']:.2g}",
                )
        return ranks

    async def state(self) -> dict[str, Any]:
        """What /t2/state says: each rank, the mixtures that are held, what is in the slots, and what the base was
        swapped for."""
        self._check_alive(or_failed=False)
        ranks = await self._calling(self.client.collective_rpc("t2_state"))
        armed = all(rank["armed"] for rank in ranks)
        slots = await self._calling(self.client.collective_rpc("t2_slots")) if armed else []
        return {
            "ready": self._facts is not None and self._failed is None,
            "failed": self._failed.body()["error"] if self._failed is not None else None,
            "ranks": ranks,
            "slots": slots,
            "mixtures": self._mixtures.digests if self._mixtures is not None else [],
            "swapped": self.swapped,
        }

    @property
    def ready(self) -> bool:
        return self._facts is not None and self._failed is None and not self.client.errored

    # What vLLM is asked.

    async def _scored(self, request: ScoreRequest, held: dict[str, Held]) -> wire.Scores:
        """ln p of all continuations, all requests of vLLM at once."""
        prefixes: dict[tuple[str | None, tuple[int, ...]], _Prefix] = {}
        for item in request.items:
            for continuation in item.continuations:
                ids = (*item.prompt, *continuation[:-1])
                prefix = prefixes.setdefault((item.mixture, ids), _Prefix(ids, len(item.prompt)))
                prefix.start = min(prefix.start, len(item.prompt))
                prefix.next[continuation[-1]] = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    key: group.create_task(self._prefix(prefix, held[key[0]] if key[0] is not None else None))
                    for key, prefix in prefixes.items()
                }
        except BaseExceptionGroup as errors:
            # One that failed ends the others; the first says why.
            raise errors.exceptions[0] from None
        found = {key: task.result() for key, task in tasks.items()}

        def one(mixture: str | None, prompt: list[int], continuation: list[int]) -> list[float]:
            ids = (*prompt, *continuation[:-1])
            inner, last = found[mixture, ids]
            skipped = len(prompt) - prefixes[mixture, ids].start
            return [*inner[skipped:], last[continuation[-1]]]

        return [
            [one(item.mixture, item.prompt, continuation) for continuation in item.continuations]
            for item in request.items
        ]

    async def _prefix(self, prefix: _Prefix, mixture: Held | None) -> tuple[list[float], dict[int, float]]:
        """ln p of a prefix's tokens from its start on, and of each token that may follow."""
        inner: list[float] = []
        last: dict[int, float] = {}
        following = list(prefix.next)
        for first in range(0, len(following), _MOST_NEXT):
            some = following[first : first + _MOST_NEXT]
            wanted = prefix.start < len(prefix.ids) and first == 0
            output = await self._finished(prefix.ids, self._binding.scoring(prompt=wanted, next_tokens=some), mixture)
            if wanted:
                inner = [
                    float(output.prompt_logprobs[index][prefix.ids[index]].logprob)
                    for index in range(prefix.start, len(prefix.ids))
                ]
            position = output.outputs[0].logprobs[0]
            last |= {token: float(position[token].logprob) for token in some}
        return inner, last

    async def _finished(self, ids: Sequence[int], parameters: Any, mixture: Held | None) -> Any:
        """The one output of a request that is answered at its end."""
        found = None
        async with aclosing(self._requested(ids, parameters, mixture)) as outputs:
            async for output in outputs:
                found = output
        if found is None or not found.outputs or not found.outputs[0].logprobs:
            raise EngineError("internal", "vLLM ended a request without an answer; its log may say why")
        return found

    async def _requested(self, ids: Sequence[int], parameters: Any, mixture: Held | None) -> AsyncGenerator[Any, None]:
        """The outputs of a request. Its end must be one of its own."""
        salt = mixture.digest if mixture is not None else "base"
        if self.swapped is not None:
            salt = f"swapped {self.swapped}"
        request = f"t2-{next(self._numbers)}"
        end = None
        try:
            outputs = self.client.generate(
                self._binding.prompt(ids, salt),
                parameters,
                request,
                lora_request=mixture.request if mixture is not None else None,
            )
            async with aclosing(outputs):
                async for output in outputs:
                    if output.outputs:
                        end = output.outputs[0].finish_reason
                        if end not in (None, "stop", "length"):
                            raise EngineError(
                                "internal", f"vLLM ended a request with '{end}'; nothing of it is answered: repeat it"
                            )
                    yield output
        except (EngineError, GeneratorExit):
            raise
        except Exception as error:
            raise self._worded(error, "request") from error
        if end is None:
            raise EngineError(
                "internal",
                "vLLM ended a request without saying that it is finished; nothing of it is answered: repeat it",
            )

    async def _read_back(self, used: Sequence[Held], missing_is_wrong: bool = True) -> ReadBack:
        """The digest that each rank has of each mixture; every one that came into a slot since it was put there must be it."""
        if not used:
            return {}
        ranks = await self._calling(self.client.collective_rpc("t2_read_back", args=([held.number for held in used],)))
        found: ReadBack = {}
        for held in used:
            digests: list[list[str]] = [rank["adapters"][str(held.number)] for rank in ranks]
            wrong = next(
                ((rank, other) for rank, seen in enumerate(digests) for other in seen if other != held.digest), None
            )
            if wrong is not None:
                raise EngineError(
                    "wrong_mixture",
                    f"rank {wrong[0]} computed with mixture {wrong[1]}; {held.digest} was asked for, so nothing is answered",
                )
            if all(digests):
                found[held.digest] = [seen[0] for seen in digests]
            elif missing_is_wrong:
                rank = next(rank for rank, seen in enumerate(digests) if not seen)
                raise EngineError(
                    "wrong_mixture",
                    f"rank {rank} has never had mixture {held.digest} in a slot, so nothing is answered",
                )
            else:
                found[held.digest] = []
        return found

    async def _add(self, request: Any) -> None:
        await self._calling(self.client.add_lora(request))

    async def _remove(self, number: int) -> None:
        await self._calling(self.client.remove_lora(number))
        await self._calling(self.client.collective_rpc("t2_forget", args=(number,)))

    async def _calling(self, call: Any) -> Any:
        try:
            return await call
        except Exception as error:
            raise self._worded(error, "call") from error

    # Errors.

    def _worded(self, error: Exception, what: str) -> EngineError:
        """vLLM's error in the protocol's words."""
        if isinstance(error, EngineError):
            return error
        if self._binding.is_dead(error) or self.client.errored:
            return _dead()
        if self._binding.is_bad_request(error):
            return wire.bad_request(f"vLLM refuses the request: {error}")
        cause = error.__cause__ or error
        return EngineError("internal", f"vLLM failed in a {what}: {type(cause).__name__}: {cause}; its log has more")

    def _check_alive(self, or_failed: bool = True) -> None:
        if self.client.errored:
            raise _dead()
        if or_failed and self._failed is not None:
            raise self._failed

    def _check_not_swapped(self, before: int | None = None) -> int:
        """How often the weights were swapped; raises where they are now, or were since."""
        if self.swapped is not None:
            raise EngineError(
                "wrong_mixture",
                f"the weights of this vLLM were swapped for mixture {self.swapped}; give it the base again with POST "
                '/t2/swap {"mixture": null}',
            )
        if before is not None and before != self._swaps:
            raise EngineError(
                "wrong_mixture",
                "the weights of this vLLM were swapped and given back while the request ran, so nothing is answered: "
                "repeat it",
            )
        return self._swaps

    def _known_layout(self) -> Layout:
        assert self._layout is not None
        return self._layout

    def _need_mixtures(self) -> Mixtures:
        if self._mixtures is None:
            raise EngineError("not_ready", f"vLLM is starting: {self._doing}")
        return self._mixtures


def _dead() -> EngineError:
    return EngineError(
        "dead", "vLLM's engine has died and does not come back by itself; its log says why. Start t2-vllm again"
    )


def _furthest(a: Iterable[float], b: Iterable[float]) -> float:
    return max((abs(x - y) for x, y in zip(a, b, strict=True)), default=0.0)
