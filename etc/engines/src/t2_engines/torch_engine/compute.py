"""Scores, logits, gradients and decoding, as works of the compute thread: one batch is one step.

How items are put into batches depends on their request alone, so a request repeated has the same answer to the bit on the
same device and threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from t2_engines.layout import Multipliers
from t2_engines.server import GradientAnswer, LogitsAnswer, ScoreAnswer
from t2_engines.torch_engine.hooks import Batch
from t2_engines.torch_engine.model import LoadedModel
from t2_engines.torch_engine.worker import Work
from t2_engines.wire import GenerateRequest, GradientRequest, Item, ReadBack, ScoreRequest, checked_read_back

log = logging.getLogger("t2_engines")

Found = TypeVar("Found")


@dataclass(frozen=True)
class Limits:
    """What one batch may have: tokens, bytes of logits, and bytes kept for a backward pass before layers are computed twice
    instead."""

    tokens: int = 4096
    logits: int = 256 << 20
    activations: int = 2 << 30


@dataclass(frozen=True)
class Row:
    """A continuation behind its prompt: a row of a batch. `item` and `number` say whose it is, `mixture` is an index into the
    vectors of its request."""

    item: int
    number: int
    mixture: int
    prompt: list[int]
    continuation: list[int]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.continuation)


class Mixtures:
    """The multipliers of a request on the device: one row for each mixture, and one of ones where the base is asked for too."""

    def __init__(self, loaded: LoadedModel, held: Sequence[tuple[str | None, Multipliers | None]]) -> None:
        """`held`: each mixture by its digest, once; the base is None."""
        self.places = {name: place for place, (name, _) in enumerate(held)}
        self.is_base = all(name is None for name in self.places)
        ones = np.ones(loaded.layout.count, np.float32)
        stacked = np.stack([ones if vector is None else vector for _, vector in held])
        self.vectors = torch.from_numpy(stacked).to(loaded.device)
        read = self.vectors.cpu().numpy()
        self.read_back: ReadBack = checked_read_back(
            {
                name: [loaded.layout.mixture_digest(read[place])]
                for name, place in self.places.items()
                if name is not None
            }
        )

    def batch(self, loaded: LoadedModel, mixtures: Sequence[int], tokens: int) -> Batch | None:
        """The multipliers of a batch whose rows of so many tokens have these mixtures; None where all are the base."""
        distinct = sorted(set(mixtures))
        if self.is_base or all(self._is_base_at(place) for place in distinct):
            return None
        vectors = self.vectors[distinct]
        if len(distinct) == 1:
            return Batch(vectors)
        rows = torch.tensor([distinct.index(place) for place in mixtures], device=loaded.device)
        return Batch(vectors, rows, tokens)

    def _is_base_at(self, place: int) -> bool:
        return self.places.get(None) == place


# Scores.


def score(
    loaded: LoadedModel, limits: Limits, request: ScoreRequest, held: Sequence[tuple[str | None, Multipliers | None]]
) -> Work[ScoreAnswer]:
    mixtures = Mixtures(loaded, held)
    places = [mixtures.places[item.mixture] for item in request.items]
    found: dict[tuple[int, int], list[float]] = {}
    shared, single = _divided(loaded, request.items, places)
    for rows in _batches(loaded, limits, single):
        with torch.inference_mode(), loaded.hooks.applied(_row_batch(loaded, mixtures, rows)):
            for row, values in zip(rows, _row_scores(loaded, rows), strict=True):
                found[row.item, row.number] = values.tolist()
        yield
    for items in _shared_batches(loaded, limits, request.items, shared, places):
        with torch.inference_mode():
            for (item, number), numbers in _shared_scores(loaded, request.items, items, places, mixtures).items():
                found[item, number] = numbers
        yield
    scores = [
        [found[index, number] for number in range(len(item.continuations))] for index, item in enumerate(request.items)
    ]
    return ScoreAnswer(scores, mixtures.read_back)


def _divided(loaded: LoadedModel, items: Sequence[Item], places: Sequence[int]) -> tuple[list[int], list[Row]]:
    """The items whose prompt is computed once for their continuations, and the rows of the others."""
    shared = [index for index, item in enumerate(items) if loaded.shares_prompts and len(item.continuations) > 1]
    single = set(range(len(items))) - set(shared)
    return shared, [row for index in sorted(single) for row in _rows(index, items[index], places[index])]


def _row_batch(loaded: LoadedModel, mixtures: Mixtures, rows: Sequence[Row]) -> Batch | None:
    return mixtures.batch(loaded, [row.mixture for row in rows], max(row.length for row in rows))


def _rows(index: int, item: Item, place: int) -> list[Row]:
    return [Row(index, number, place, item.prompt, tokens) for number, tokens in enumerate(item.continuations)]


def _batches(loaded: LoadedModel, limits: Limits, rows: Sequence[Row], logits: int = 1) -> Iterator[list[Row]]:
    """Rows of about one length together, so that little is padding. `logits`: how many of them are held for each token."""

    def kind(row: Row) -> tuple[int, int]:
        """What rows of one batch must have alike."""
        return (0 if loaded.mixes_rows else row.mixture, 0 if loaded.pads else row.length)

    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: (kind(row), row.length, len(row.prompt), row.item, row.number)):
        grown = [*batch, row]
        width = max(each.length for each in grown)
        first = min(len(each.prompt) for each in grown) - 1
        held = len(grown) * (width - first) * loaded.vocabulary * 4 * logits
        is_other = bool(batch) and kind(batch[0]) != kind(row)
        if batch and (is_other or len(grown) * width > limits.tokens or held > limits.logits):
            yield batch
            grown = [row]
        batch = grown
    if batch:
        yield batch


def _row_logits(loaded: LoadedModel, rows: Sequence[Row]) -> list[Tensor]:
    """The logits in float32 before each token of each row's continuation, (tokens, vocabulary)."""
    # The last token is fed too, though nothing reads its logits: it is no more than padding is.
    width = max(row.length for row in rows)
    ids, mask = _padded(loaded, [row.prompt + row.continuation for row in rows], width)
    first = min(len(row.prompt) for row in rows) - 1
    keep = torch.arange(first, width - 1, device=loaded.device)
    positions = torch.arange(width, device=loaded.device).expand(len(rows), -1)
    logits = loaded.kept(loaded.forward(ids, mask, positions, keep).logits, keep)
    starts = [len(row.prompt) - 1 - first for row in rows]
    return [
        logits[n, start : start + len(row.continuation)].float()
        for n, (row, start) in enumerate(zip(rows, starts, strict=True))
    ]


def _row_scores(loaded: LoadedModel, rows: Sequence[Row]) -> list[Tensor]:
    """ln p of each token of each row's continuation."""
    return [
        _token_scores(logits, row.continuation) for logits, row in zip(_row_logits(loaded, rows), rows, strict=True)
    ]


def _token_scores(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """ln p of tokens, each under its own logits (tokens, vocabulary)."""
    chosen = logits.gather(1, torch.tensor(tokens, device=logits.device).unsqueeze(1)).squeeze(1)
    return chosen - logits.logsumexp(1)


def _padded(loaded: LoadedModel, sequences: Sequence[Sequence[int]], width: int) -> tuple[Tensor, Tensor]:
    """Tokens with zeros behind them, and the mask that says where they are."""
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    mask = torch.zeros(len(sequences), width, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids.to(loaded.device), mask.to(loaded.device)


def _shared_batches(
    loaded: LoadedModel, limits: Limits, items: Sequence[Item], shared: Sequence[int], places: Sequence[int]
) -> Iterator[list[int]]:
    """Items whose prompts have one length: then there is no padding between a prompt and what follows, which windows of
    attention would count."""

    def key(index: int) -> tuple[int, int]:
        return (0 if loaded.mixes_rows else places[index], len(items[index].prompt))

    batch: list[int] = []
    for index in sorted(shared, key=lambda index: (*key(index), index)):
        grown = [*batch, index]
        rows = sum(len(items[each].continuations) for each in grown)
        longest = max(len(tokens) for each in grown for tokens in items[each].continuations)
        held = rows * longest * loaded.vocabulary * 4
        positions = rows * (len(items[index].prompt) + longest)
        if batch and (key(batch[0]) != key(index) or positions > limits.tokens or held > limits.logits):
            yield batch
            grown = [index]
        batch = grown
    if batch:
        yield batch


def _shared_scores(
    loaded: LoadedModel, items: Sequence[Item], indices: Sequence[int], places: Sequence[int], mixtures: Mixtures
) -> dict[tuple[int, int], list[float]]:
    """ln p of the tokens of items whose prompts have one length, each prompt computed once."""
    length = len(items[indices[0]].prompt)
    ids, mask = _padded(loaded, [items[index].prompt for index in indices], length)
    positions = torch.arange(length, device=loaded.device).expand(len(indices), -1)
    rows = [row for index in indices for row in _rows(index, items[index], places[index])]
    goes_on = any(len(row.continuation) > 1 for row in rows)
    with loaded.hooks.applied(mixtures.batch(loaded, [places[index] for index in indices], length)):
        passed = loaded.forward(ids, mask, positions, 1, use_cache=goes_on)
    last = loaded.kept(passed.logits, 1)[:, -1].float()  # (items, vocabulary)
    first = log_softmax(last, 1)
    found = {
        (index, number): [float(first[n, tokens[0]])]
        for n, index in enumerate(indices)
        for number, tokens in enumerate(items[index].continuations)
    }
    # The first token needs the prompt only, and the last one nobody's logits.
    rows = [row for row in rows if len(row.continuation) > 1]
    if not rows:
        return found
    cache = passed.past_key_values
    cache.reorder_cache(torch.tensor([indices.index(row.item) for row in rows], device=loaded.device))
    # Nothing reads the padding behind the last token of a row; `probe` has tried that.
    width = max(len(row.continuation) for row in rows) - 1
    ids, mask = _padded(loaded, [row.continuation[:-1] for row in rows], width)
    mask = torch.cat([torch.ones(len(rows), length, dtype=mask.dtype, device=mask.device), mask], 1)
    positions = torch.arange(length, length + width, device=loaded.device).expand(len(rows), -1)
    with loaded.hooks.applied(mixtures.batch(loaded, [row.mixture for row in rows], width)):
        logits = loaded.forward(ids, mask, positions, past_key_values=cache, use_cache=True).logits
    for row, values in zip(rows, logits, strict=True):
        rest = row.continuation[1:]
        found[row.item, row.number] += _token_scores(values[: len(rest)].float(), rest).tolist()
    return found


def next_logits(
    loaded: LoadedModel, prompt: Sequence[int], held: Sequence[tuple[str | None, Multipliers | None]]
) -> Work[LogitsAnswer]:
    mixtures = Mixtures(loaded, held)
    logits = Growing(loaded, mixtures, 0, caches=False).grow(prompt)
    yield
    return LogitsAnswer(logits.cpu().numpy(), mixtures.read_back)


# Gradients.


def gradient(
    loaded: LoadedModel, limits: Limits, request: GradientRequest, multipliers: Multipliers | None, digest: str | None
) -> Work[GradientAnswer]:
    mixtures = Mixtures(loaded, [(digest, multipliers)])
    is_wanted = request.derivatives is not None
    # One mixture, which an expert's training has, or s = 1, which is differentiated as any other.
    vectors = mixtures.vectors.clone().requires_grad_(is_wanted)
    fixed = mixtures.vectors[0] if request.from_layer else None
    batch = Batch(vectors, fixed=fixed, from_layer=request.from_layer)
    # A divergence needs the logits of both models at once, and their derivatives.
    held = (1 if request.divergence is None else 2) * (2 if is_wanted else 1)
    found: dict[tuple[int, int], tuple[list[float], float]] = {}
    rows = [row for index, item in enumerate(request.items) for row in _rows(index, item, 0)]
    for part in _batches(loaded, limits, rows, held):
        base: list[Tensor] | None = None
        if request.divergence is not None:
            with torch.no_grad(), loaded.hooks.applied(None):
                base = [logits / request.temperature for logits in _row_logits(loaded, part)]
        width = max(row.length for row in part)
        twice = is_wanted and _activation_bytes(loaded, len(part) * width) > limits.activations
        with torch.set_grad_enabled(is_wanted), loaded.hooks.applied(batch, checkpoints=twice):
            logits = [each / request.temperature for each in _row_logits(loaded, part)]
            loss = torch.zeros((), device=loaded.device)
            for n, row in enumerate(part):
                scores = _token_scores(logits[n], row.continuation)
                divergence = torch.zeros((), device=loaded.device)
                if base is not None:
                    divergence = _divergence(logits[n], base[n], request.divergence).sum()
                found[row.item, row.number] = (scores.tolist(), float(divergence.detach()))
                if request.derivatives is not None:
                    weights = torch.tensor(request.derivatives[row.item][row.number], device=loaded.device)
                    loss = loss + (weights * scores).sum() + request.divergence_weight * divergence
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
        yield
    return GradientAnswer(
        scores=[
            [found[index, number][0] for number in range(len(item.continuations))]
            for index, item in enumerate(request.items)
        ],
        divergences=None
        if request.divergence is None
        else [
            [found[index, number][1] for number in range(len(item.continuations))]
            for index, item in enumerate(request.items)
        ],
        mixtures=mixtures.read_back,
        gradient=None
        if not is_wanted
        else (torch.zeros_like(vectors) if vectors.grad is None else vectors.grad)[0].cpu().numpy(),
    )


def _divergence(adapted: Tensor, base: Tensor, kind: str | None) -> Tensor:
    """At each token, over the whole vocabulary: "paper" KL(adapted || base), "reference" KL(base || adapted)."""
    p, q = log_softmax(adapted, 1), log_softmax(base, 1)
    if kind == "reference":
        p, q = q, p
    return (p.exp() * (p - q)).sum(1)


def _activation_bytes(loaded: LoadedModel, tokens: int) -> int:
    """About what a backward pass needs of the forward one: a layer keeps some 16 vectors of its hidden size and five or so of
    its wider inside, with those that the multipliers add."""
    return tokens * loaded.layers * loaded.hidden * 4 * 40


# Decoding.


class Growing:
    """A sequence that is computed as it grows, with the cache of what it has already where the architecture allows that."""

    def __init__(self, loaded: LoadedModel, mixtures: Mixtures, place: int, *, caches: bool) -> None:
        self.loaded = loaded
        self.mixtures = mixtures
        self.place = place
        self.caches = caches
        self.tokens: list[int] = []
        self._cached = 0
        self._cache: Any = None

    def grow(self, tokens: Sequence[int]) -> Tensor:
        """Appends tokens; the logits behind the last one in float32, (vocabulary). One step of the compute thread."""
        self.tokens += tokens
        new = self.tokens[self._cached :]
        with (
            torch.inference_mode(),
            self.loaded.hooks.applied(self.mixtures.batch(self.loaded, [self.place], len(new))),
        ):
            ids = torch.tensor([new], device=self.loaded.device)
            mask = torch.ones(1, len(self.tokens), dtype=torch.long, device=self.loaded.device)
            positions = torch.arange(self._cached, len(self.tokens), device=self.loaded.device).unsqueeze(0)
            more = {"past_key_values": self._cache, "use_cache": True} if self.caches else {}
            passed = self.loaded.forward(ids, mask, positions, 1, **more)
            logits = self.loaded.kept(passed.logits, 1)[0, -1, : self.loaded.vocabulary].float()
        if self.caches:
            self._cache, self._cached = passed.past_key_values, len(self.tokens)
        return logits


class Decoding:
    """An answer, token by token."""

    def __init__(
        self, loaded: LoadedModel, request: GenerateRequest, held: Sequence[tuple[str | None, Multipliers | None]]
    ) -> None:
        self.request = request
        self.mixtures = Mixtures(loaded, held)
        self.tokens: list[int] = []
        self._context = loaded.context
        self._sequence = Growing(loaded, self.mixtures, 0, caches=loaded.caches)
        self._random = torch.Generator().manual_seed(request.seed)

    def next(self) -> int:
        """One more token; one step of the compute thread."""
        logits = self._sequence.grow(self.tokens[-1:] or self.request.prompt)
        self.tokens.append(_sampled(logits, self.request, self._random))
        return self.tokens[-1]

    @property
    def end(self) -> str | None:
        """Why there is no token behind the last one; None where there may be."""
        if self.tokens[-1] in self.request.stop_ids:
            return "stop"
        if len(self.tokens) >= self.request.max_tokens:
            return "length"
        return "context" if len(self.request.prompt) + len(self.tokens) >= self._context else None


def _sampled(logits: Tensor, request: GenerateRequest, random: torch.Generator) -> int:
    if not bool(torch.isfinite(logits).any()) or bool(torch.isnan(logits).any()):
        raise ArithmeticError("the model's logits are not finite; is this mixture far from any that was trained?")
    if request.temperature == 0:
        return int(logits.argmax())
    # In double, and on the CPU: the same seed gives the same answer on every device, as far as its logits do.
    p = torch.softmax(logits.cpu().double() / request.temperature, 0)
    p, order = p.sort(descending=True, stable=True)
    before = p.cumsum(0) - p
    p = p.where(before < request.top_p, 0.0)
    drawn = torch.rand((), generator=random, dtype=torch.float64) * p.sum()
    place = int(torch.searchsorted(p.cumsum(0), drawn, right=True))
    return int(order[min(place, int((p > 0).sum()) - 1)])


def once(compute: Callable[[], Found]) -> Work[Found]:
    """A work of one step."""
    found = compute()
    yield
    return found


# What a model can do.


def probe(loaded: LoadedModel) -> None:
    """Finds out by trying what the architecture allows: batches of several lengths, rows with mixtures of their own, prompts
    computed once, decoding by a cache. Sets the fields of the model, and says in its notes what it cannot."""
    generator = torch.Generator().manual_seed(1)
    random = np.random.default_rng(1)
    length = max(2, min(9, loaded.context - 5))

    def tokens(count: int) -> list[int]:
        return torch.randint(loaded.vocabulary, (count,), generator=generator).tolist()

    held: list[tuple[str | None, Multipliers | None]] = [(None, None)]
    for _ in range(2):
        vector = random.normal(1, 0.2, loaded.layout.count).astype(np.float32)
        held.append((loaded.layout.mixture_digest(vector), vector))
    mixtures = Mixtures(loaded, held)
    # Two prompts, each under another mixture: a state that is not repeated for the continuations of one would fit all of them.
    items = [
        Item(prompt=tokens(length), continuations=[tokens(1), tokens(3), tokens(2)]),
        Item(prompt=tokens(length), continuations=[tokens(2), tokens(4)]),
    ]
    places = [1, 2]
    rows = [row for index, item in enumerate(items) for row in _rows(index, item, places[index])]
    mixed = [Row(0, 0, place, items[0].prompt, items[0].continuations[1]) for place in (1, 0, 2)]

    def scored(rows: Sequence[Row]) -> list[list[float]]:
        with loaded.hooks.applied(_row_batch(loaded, mixtures, rows)):
            return [values.tolist() for values in _row_scores(loaded, rows)]

    def alone(rows: Sequence[Row]) -> list[list[float]]:
        return [scored([row])[0] for row in rows]

    def shared() -> list[list[float]]:
        # Both at once only where rows may have mixtures of their own.
        parts = [[0, 1]] if loaded.mixes_rows else [[0], [1]]
        found = {
            key: scores
            for part in parts
            for key, scores in _shared_scores(loaded, items, part, places, mixtures).items()
        }
        return [found[row.item, row.number] for row in rows]

    def grown() -> list[list[float]]:
        found: list[list[float]] = []
        for row in rows:
            sequence = Growing(loaded, mixtures, row.mixture, caches=True)
            logits = [sequence.grow(row.prompt), *(sequence.grow([token]) for token in row.continuation[:-1])]
            found.append(_token_scores(torch.stack(logits), row.continuation).tolist())
        return found

    with torch.inference_mode():
        loaded.mixes_rows = _agree(loaded, lambda: scored(mixed), lambda: alone(mixed))
        loaded.pads = _agree(loaded, lambda: scored(rows[:3]), lambda: alone(rows[:3]))
        loaded.caches = _agree(loaded, grown, lambda: alone(rows))
        loaded.shares_prompts = loaded.caches and _agree(loaded, shared, lambda: alone(rows))
    for is_so, otherwise in (
        (loaded.pads, "padding changes answers: only sequences of one length share a batch"),
        (loaded.mixes_rows, "layers do not see the rows of a batch: mixtures do not share one"),
        (loaded.caches, "the cache changes answers: what was computed of an answer is computed anew for each token"),
        (loaded.shares_prompts, "caches are not repeated: a prompt is computed for each of its continuations"),
    ):
        if not is_so:
            loaded.notes.append(f"of this architecture, {loaded.architecture}, {otherwise}")


def _agree(loaded: LoadedModel, one: Callable[[], list[list[float]]], other: Callable[[], list[list[float]]]) -> bool:
    """Whether two ways to the same scores give the same, as far as rounding lets them."""
    tolerance = 1e-3 if loaded.type == "float32" else 0.25
    expected = other()
    try:
        found = one()
    except Exception as error:  # whatever an architecture does with what it was not made for
        log.info("%s: %s", type(error).__name__, error)
        return False
    return all(
        len(a) == len(b) and all(abs(x - y) <= tolerance for x, y in zip(a, b, strict=True))
        for a, b in zip(found, expected, strict=True)
    )
