"""What goes over the wire of t2-engine(7): requests, answers, errors and frames, each declared once.

A request is read strictly: an unknown member, another type, a key that stands twice or a number out of range is refused by its
name. What a request means for a certain model (token ids below its vocabulary, lengths below its context) is checked here
too, against the engine's facts, so that every engine refuses alike.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from t2_engines.layout import Multipliers

FRAME_TYPE = "application/x-t2-frame"
STREAM_TYPE = "application/x-ndjson"

#: The greatest magnitude of a multiplier.
GREATEST_MULTIPLIER = 10.0

#: The status of each error.
STATUS: Mapping[str, int] = {
    "bad_request": 400,
    "too_long": 400,
    "no_gradients": 400,
    "no_images": 400,
    "no_logits": 400,
    "unknown_mixture": 404,
    "not_found": 404,
    "not_ready": 503,
    "overloaded": 503,
    "out_of_memory": 507,
    "disk_full": 507,
    "not_armed": 500,
    "wrong_mixture": 500,
    "dead": 500,
    "internal": 500,
}

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class EngineError(Exception):
    """An error of the protocol: one of STATUS, a message for people, and the members that the code brings."""

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.members = members
        self.status = STATUS[code]

    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message, **self.members}}


def bad_request(message: str) -> EngineError:
    return EngineError("bad_request", message)


def unknown_mixture(digest: str) -> EngineError:
    return EngineError(
        "unknown_mixture", f"mixture {digest} is not loaded here; PUT it and repeat the request", mixture=digest
    )


# Requests. Strict: 1.0 is no integer, true is no number.


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Token = Annotated[int, Field(ge=0)]
Tokens = Annotated[list[Token], Field(min_length=1)]
Mixture = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
DivergenceKind = Literal["paper", "reference"]


class Item(_Request):
    """A prompt and what may follow it."""

    prompt: Tokens
    continuations: Annotated[list[Tokens], Field(min_length=1)]


class MixedItem(Item):
    mixture: Mixture | None


class Nothing(_Request):
    """The JSON line of a frame that has none but its numbers."""


class ScoreRequest(_Request):
    items: Annotated[list[MixedItem], Field(min_length=1)]

    @property
    def mixtures(self) -> list[str]:
        """The distinct mixtures, in the order in which they come."""
        return list(dict.fromkeys(item.mixture for item in self.items if item.mixture is not None))


class LogitsRequest(_Request):
    prompt: Tokens
    mixture: Mixture | None


class GenerateRequest(_Request):
    prompt: Tokens
    mixture: Mixture | None
    max_tokens: Annotated[int, Field(ge=1)]
    stop_ids: list[Token]
    temperature: Annotated[Finite, Field(ge=0)]
    top_p: Annotated[Finite, Field(gt=0, le=1)]
    seed: Annotated[int, Field(ge=0, lt=1 << 64)]


class GradientRequest(_Request):
    items: Annotated[list[Item], Field(min_length=1)]
    mixture: Mixture | None
    temperature: Annotated[Finite, Field(gt=0)] = 1.0
    divergence: DivergenceKind | None = None
    derivatives: list[list[list[Finite]]] | None = None
    divergence_weight: Finite = 0.0
    from_layer: Annotated[int, Field(ge=0)] = 0


# Answers.


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class EngineFacts(_Answer):
    name: str
    version: str
    type: str
    device: str
    parallelism: int


class ModelFacts(_Answer):
    id: str
    architecture: str
    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    context: int
    stored: str
    digest: str
    end_ids: list[int]


class TargetFacts(_Answer):
    name: str
    rows: int
    columns: int


class Abilities(_Answer):
    gradients: bool
    logits: bool
    generate: bool
    images: bool
    #: At once in one request.
    mixtures: int


class FileFacts(_Answer):
    bytes: int
    digest: str


class Facts(_Answer):
    protocol: int
    engine: EngineFacts
    model: ModelFacts
    targets: list[TargetFacts]
    abilities: Abilities
    files: dict[str, FileFacts]
    warnings: list[str]


#: ln p of each token of each continuation of each item.
Scores = list[list[list[float]]]
#: Of each mixture that was asked for, the digest read back on each rank.
ReadBack = dict[str, list[str]]


def checked_read_back(read: ReadBack) -> ReadBack:
    """What was read back, where every rank has what was asked for; else nothing may be answered."""
    for asked, ranks in read.items():
        for rank, found in enumerate(ranks):
            if found != asked:
                raise EngineError(
                    "wrong_mixture",
                    f"rank {rank} computed with mixture {found}; {asked} was asked for, so nothing is answered",
                )
    return read


# Reading.

_Model = TypeVar("_Model", bound=BaseModel)


def parse(model: type[_Model], body: bytes | memoryview) -> _Model:
    """Reads a request, or refuses it by the name of what is wrong with it."""
    try:
        value = json.loads(bytes(body), object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except EngineError:
        raise
    except RecursionError:
        raise bad_request("the request is no JSON: it nests too deep") from None
    except ValueError as error:
        raise bad_request(f"the request is no JSON in UTF-8: {error}") from error
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise bad_request(_worded(error, model)) from error


def parse_frame(model: type[_Model], body: bytes) -> tuple[_Model, Multipliers]:
    """Reads a frame: its line of JSON, and the float32 numbers behind."""
    end = body.find(b"\n")
    if end < 0:
        raise bad_request("the request is no frame: it has no line of JSON with a newline at its end")
    request = parse(model, memoryview(body)[:end])
    rest = len(body) - end - 1
    if rest % 4 != 0:
        raise bad_request(f"the frame has {rest} bytes behind its line, which is no whole count of float32 numbers")
    return request, np.frombuffer(body, dtype="<f4", offset=end + 1).astype(np.float32)


def frame(line: Mapping[str, Any], numbers: npt.NDArray[np.float32]) -> bytes:
    return dumps(line) + b"\n" + np.ascontiguousarray(numbers, dtype="<f4").tobytes()


def dumps(value: Any) -> bytes:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def float32_json(value: float) -> float | None:
    """A float32 as JSON: the shortest number that is read back as it, to nine digits; null where it is not finite."""
    return float(f"{value:.9g}") if math.isfinite(value) else None


def scores_json(scores: Scores) -> list[list[list[float | None]]]:
    return [[[float32_json(token) for token in continuation] for continuation in item] for item in scores]


def sums_json(sums: list[list[float]]) -> list[list[float | None]]:
    return [[float32_json(continuation) for continuation in item] for item in sums]


# What a request means for a model.


def check_digest(digest: str) -> str:
    if DIGEST.fullmatch(digest) is None:
        raise bad_request(f"'{digest[:80]}' is no digest; one is sha256: and 64 lower-case hexadecimal digits")
    return digest


def check_multipliers(numbers: Multipliers, count: int) -> None:
    if numbers.shape != (count,):
        raise bad_request(
            f"the frame has {numbers.size} multipliers; a vector of this model has {count}: is it of another model?"
        )
    wrong = np.flatnonzero(~(np.abs(numbers) <= GREATEST_MULTIPLIER))  # not greater: NaN is not below either
    if wrong.size:
        raise bad_request(
            f"multiplier {wrong[0]} is {numbers[wrong[0]]}; all are finite and at most {GREATEST_MULTIPLIER:g} in magnitude"
        )


def check_items(items: Sequence[Item], facts: Facts) -> None:
    for index, item in enumerate(items):
        check_tokens(item.prompt, facts, f"items[{index}].prompt")
        for number, continuation in enumerate(item.continuations):
            where = f"items[{index}].continuations[{number}]"
            check_tokens(continuation, facts, where)
            check_length(len(item.prompt) + len(continuation), facts, where + " with its prompt")


def check_score(request: ScoreRequest, facts: Facts) -> None:
    check_items(request.items, facts)
    check_mixtures(request.mixtures, facts)


def check_mixtures(mixtures: Sequence[str], facts: Facts) -> None:
    if len(mixtures) > facts.abilities.mixtures:
        raise bad_request(
            f"the request has {len(mixtures)} mixtures; this engine takes at most {facts.abilities.mixtures} at once"
        )


def check_logits(request: LogitsRequest, facts: Facts) -> None:
    if not facts.abilities.logits:
        raise EngineError("no_logits", f"engine {facts.engine.name} gives no logits")
    check_tokens(request.prompt, facts, "prompt")
    check_length(len(request.prompt), facts, "prompt")


def check_generate(request: GenerateRequest, facts: Facts) -> None:
    check_tokens(request.prompt, facts, "prompt")
    # One more must have room, or nothing can be generated.
    if len(request.prompt) >= facts.model.context:
        raise EngineError(
            "too_long",
            f"prompt has {len(request.prompt)} tokens; the model's context of {facts.model.context} leaves no room",
        )


def check_gradient(request: GradientRequest, facts: Facts) -> None:
    if not facts.abilities.gradients:
        raise EngineError(
            "no_gradients",
            f"engine {facts.engine.name} gives no gradients; train and search by gradient with the torch engine",
        )
    check_items(request.items, facts)
    if request.from_layer > facts.model.layers:
        raise bad_request(f"from_layer is {request.from_layer}; the model has {facts.model.layers} layers")
    if request.divergence is None and request.divergence_weight != 0:
        raise bad_request("divergence_weight is not 0, but divergence is null; say 'paper' or 'reference'")
    if request.derivatives is not None:
        expected = [[len(continuation) for continuation in item.continuations] for item in request.items]
        found = [[len(continuation) for continuation in item] for item in request.derivatives]
        if found != expected:
            raise bad_request("derivatives must have one number for every token of every continuation of every item")


def check_tokens(tokens: Iterable[int], facts: Facts, where: str) -> None:
    largest = max(tokens)
    if largest >= facts.model.vocabulary:
        raise bad_request(
            f"{where} has token {largest}; the vocabulary has {facts.model.vocabulary}: is it tokenized for another model?"
        )


def check_length(length: int, facts: Facts, where: str) -> None:
    if length > facts.model.context:
        raise EngineError("too_long", f"{where} has {length} tokens; the model's context has {facts.model.context}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise bad_request(f"member '{key[:80]}' stands twice in the request")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise bad_request(f"the request is no JSON: {name} is not a number there")


def _worded(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong with a request, by its name."""
    first = error.errors(include_url=False)[0]
    place = ""
    for part in first["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if first["type"] == "extra_forbidden":
        owner, _, name = place.rpartition(".")
        return f"unknown member '{name[:80]}'" + (
            f" in {owner}" if owner else f"; the request has {', '.join(model.model_fields) or 'no members'}"
        )
    if first["type"] == "missing":
        owner, _, name = place.rpartition(".")
        return f"member '{name}' is missing" + (f" in {owner}" if owner else "")
    text = first["msg"][:1].lower() + first["msg"][1:]
    return f"{place or 'the request'} is invalid: {text}; found {reprlib.repr(first['input'])}"
