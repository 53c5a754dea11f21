"""What the engine computes, against models whose weights are materialised by the definition."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM

from t2_engines.checkpoint import CheckpointError
from t2_engines.layout import Multipliers
from t2_engines.server import GradientAnswer
from t2_engines.torch_engine import compute
from t2_engines.torch_engine.compute import Limits
from t2_engines.torch_engine.model import LoadedModel, load
from t2_engines.torch_engine.worker import Work
from t2_engines.wire import GenerateRequest, GradientRequest, MixedItem, ScoreRequest

FAMILIES = list(tiny.CONFIGS)
FIXTURES = Path(__file__).parents[3] / "Tests/Fixtures/families"
LIMITS = Limits()
Model = tuple[Path, LoadedModel]
Found = TypeVar("Found")


def result(work: Work[Found]) -> Found:
    """Runs a work to its end, as the compute thread does."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def loaded_from(directory: Path, factors: Path, type: str = "float32") -> LoadedModel:
    found = load(directory, type=type, device="cpu", factors=factors, tell=lambda what, progress: None)
    compute.probe(found)
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    made: dict[str, Model] = {}

    def get(family: str) -> Model:
        if family not in made:
            directory = tiny.make(family, tmp_path_factory.mktemp("models") / family)
            made[family] = (directory, loaded_from(directory, tmp_path_factory.mktemp("factors")))
        return made[family]

    return get


def name(loaded: LoadedModel, vector: Multipliers) -> str:
    return loaded.layout.mixture_digest(vector)


def score(
    loaded: LoadedModel, request: list[tuple[list[int], list[list[int]], Multipliers | None]], limits: Limits = LIMITS
) -> list[list[list[float]]]:
    held = {None if vector is None else name(loaded, vector): vector for _, _, vector in request}
    items = [
        MixedItem(prompt=prompt, continuations=continuations, mixture=None if vector is None else name(loaded, vector))
        for prompt, continuations, vector in request
    ]
    return result(compute.score(loaded, limits, ScoreRequest(items=items), list(held.items()))).scores


def tokens(source: random.Random, count: int) -> list[int]:
    return [source.randrange(tiny.VOCABULARY) for _ in range(count)]


def questions(seed: int, count: int = 6) -> list[tuple[list[int], list[list[int]]]]:
    """Prompts of several lengths, some equal; one to four continuations of one to six tokens."""
    source = random.Random(seed)
    lengths = [1, 5, 5, 9, 14, 5, 9, 20]
    return [
        (tokens(source, lengths[n % len(lengths)]), [tokens(source, 1 + (n + k) % 6) for k in range(1 + n % 4)])
        for n in range(count)
    ]


def worst(found: list[list[float]], expected: list[list[float]]) -> float:
    return max(abs(a - b) for x, y in zip(found, expected, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_materialised_weights(models: Callable[[str], Model], family: str) -> None:
    directory, loaded = models(family)
    assert loaded.pads and loaded.shares_prompts and loaded.mixes_rows and not loaded.warnings and not loaded.notes
    for vector in (None, tiny.vectors(loaded.layout, 1)):
        model = tiny.reference(directory, loaded.layout, vector)
        asked = questions(1)
        for (prompt, continuations), found in zip(
            asked, score(loaded, [(p, c, vector) for p, c in asked]), strict=True
        ):
            with torch.no_grad():
                expected = [tiny.scores(model, prompt, each).tolist() for each in continuations]
            assert worst(found, expected) < 3e-5


@pytest.mark.parametrize("family", tiny.ODD)
def test_architectures_with_something_of_their_own_are_served_or_named(
    models: Callable[[str], Model], family: str
) -> None:
    directory, loaded = models(family)
    assert loaded.pads and loaded.mixes_rows
    assert loaded.caches == (family != "mamba") and loaded.shares_prompts == (family not in ("mamba", "minimax"))
    left = {
        "mixtral": "mlp.experts.gate_up_proj",
        "mamba": "mixer.dt_proj.weight",
        "minimax": "mlp.experts.gate_up_proj",
    }
    assert [left[family] in text for text in loaded.warnings] == [True] * (family in left)
    assert len(loaded.notes) == 2 * (family == "mamba") + (family == "minimax")
    vectors = [None, *(tiny.vectors(loaded.layout, seed) for seed in (1, 2))]
    asked = [(p, c, vectors[n % 3]) for n, (p, c) in enumerate(questions(1, 9))]
    found = score(loaded, asked)
    for number, vector in enumerate(vectors):
        model = tiny.reference(directory, loaded.layout, vector)
        for (prompt, continuations, _), item in list(zip(asked, found, strict=True))[number::3]:
            with torch.no_grad():
                assert worst(item, [tiny.scores(model, prompt, each).tolist() for each in continuations]) < 3e-5
    if vectors[1] is not None:
        close(gradient(loaded, vectors[1]).gradient, by_definition(directory, loaded, vectors[1], 1, None, 0))
    answer = model.generate(torch.tensor([[5, 6]]), do_sample=False, max_new_tokens=6, eos_token_id=None)[
        0, 2:
    ].tolist()
    assert generated(loaded, [5, 6], vectors[2], max_tokens=6) == (answer, "length")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mixture_changes_scores_much_more_than_rounding(models: Callable[[str], Model], family: str) -> None:
    _, loaded = models(family)
    [(prompt, continuations)] = questions(1, 1)
    base, mixed = (
        score(loaded, [(prompt, continuations, vector)])[0] for vector in (None, tiny.vectors(loaded.layout, 1))
    )
    assert worst(base, mixed) > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_mixtures_share_batches_and_are_as_if_alone(models: Callable[[str], Model], family: str) -> None:
    _, loaded = models(family)
    mixtures = [None, *(tiny.vectors(loaded.layout, seed) for seed in range(3))]
    asked = [(p, c, mixtures[n % 4]) for n, (p, c) in enumerate(questions(2, 16))]
    together = score(loaded, asked)
    for item, found in zip(asked, together, strict=True):
        assert worst(found, score(loaded, [item])[0]) < 2e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_neither_batches_nor_padding_nor_shared_prompts_change_scores(
    models: Callable[[str], Model], family: str
) -> None:
    _, loaded = models(family)
    mixtures = [None, *(tiny.vectors(loaded.layout, seed) for seed in range(2))]
    asked = [(p, c, mixtures[n % 3]) for n, (p, c) in enumerate(questions(3, 12))]
    whole = score(loaded, asked)
    plain = dataclasses.replace(loaded, shares_prompts=False)
    unmixed = dataclasses.replace(loaded, mixes_rows=False)
    unpadded = dataclasses.replace(plain, pads=False)
    for other in (
        score(loaded, asked, Limits(tokens=1)),
        score(loaded, asked, Limits(logits=1)),
        score(plain, asked),
        score(plain, asked, Limits(tokens=40)),
        score(unmixed, asked),
        score(unpadded, asked),
    ):
        assert max(worst(a, b) for a, b in zip(whole, other, strict=True)) < 2e-5


def test_batches_keep_to_their_limits(models: Callable[[str], Model]) -> None:
    _, loaded = models("llama")
    rows = [
        row
        for n, (p, c) in enumerate(questions(4, 30))
        for row in compute._rows(n, MixedItem(prompt=p, continuations=c, mixture=None), 0)
    ]
    batches = list(compute._batches(loaded, Limits(tokens=60), rows))
    assert sorted((row.item, row.number) for batch in batches for row in batch) == [
        (row.item, row.number) for row in rows
    ]
    assert all(len(batch) == 1 or len(batch) * max(row.length for row in batch) <= 60 for batch in batches)
    assert 1 < len(batches) < len(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_multipliers_of_one_and_the_base_are_the_model_to_the_bit(models: Callable[[str], Model], family: str) -> None:
    directory, loaded = models(family)
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation=loaded.model.config._attn_implementation
    ).eval()
    prompt = questions(5, 5)[4][0]
    for vector in (None, np.ones(loaded.layout.count, np.float32)):
        held = [(None if vector is None else name(loaded, vector), vector)]
        logits = result(compute.next_logits(loaded, prompt, held)).logits
        with torch.inference_mode():
            expected = model(
                input_ids=torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt)),
                logits_to_keep=1,
                use_cache=False,
            )
        assert np.array_equal(logits, expected.logits[0, -1].numpy())


def test_the_same_request_has_the_same_answer_to_the_bit(models: Callable[[str], Model]) -> None:
    _, loaded = models("llama")
    asked = [(p, c, tiny.vectors(loaded.layout, n % 3)) for n, (p, c) in enumerate(questions(6, 12))]
    assert score(loaded, asked) == score(loaded, asked)


# Gradients.


def gradient(
    loaded: LoadedModel, vector: Multipliers | None, limits: Limits = LIMITS, **members: object
) -> GradientAnswer:
    asked = questions(7, 5)
    source = random.Random(8)
    request = GradientRequest.model_validate(
        {
            "items": [{"prompt": p, "continuations": c} for p, c in asked],
            "mixture": None if vector is None else name(loaded, vector),
            "derivatives": [[[source.uniform(-1, 1) for _ in each] for each in c] for _, c in asked],
        }
        | members
    )
    return result(compute.gradient(loaded, limits, request, vector, request.mixture))


def loss(answer: GradientAnswer, weight: float) -> float:
    source = random.Random(8)
    total = sum(
        source.uniform(-1, 1) * token for item in answer.scores for continuation in item for token in continuation
    )
    return total + weight * sum(sum(item) for item in answer.divergences or [])


def by_definition(
    directory: Path, loaded: LoadedModel, vector: Multipliers, temperature: float, kind: str | None, weight: float
) -> np.ndarray:
    """dL/ds by autograd through W' = U diag(s σ) Vᵀ of a model of transformers."""
    from torch.func import functional_call

    model, base = tiny.reference(directory), tiny.reference(directory)
    s = torch.from_numpy(vector.astype(np.float64)).requires_grad_()
    parameters = dict(model.named_parameters())
    weights = {}
    for target in loaded.layout:
        full = target.name if target.name in parameters else "transformer." + target.name
        u, sigma, v = torch.linalg.svd(parameters[full].detach().double(), full_matrices=False)
        weights[full] = ((u * (s[loaded.layout.slices[target.name]] * sigma)) @ v).float()
    source = random.Random(8)
    total = torch.zeros(())
    for prompt, continuations in questions(7, 5):
        for tokens in continuations:
            ids = torch.tensor([prompt + tokens])
            p = log_softmax(
                functional_call(model, weights, (), {"input_ids": ids, "use_cache": False}).logits[0] / temperature, 1
            )
            p = p[len(prompt) - 1 : -1]
            with torch.no_grad():
                q = log_softmax(base(input_ids=ids, use_cache=False).logits[0] / temperature, 1)[len(prompt) - 1 : -1]
            factors = torch.tensor([source.uniform(-1, 1) for _ in tokens])
            total = total + (factors * p[range(len(tokens)), tokens]).sum()
            if kind is not None:
                first, second = (p, q) if kind == "paper" else (q, p)
                total = total + weight * (first.exp() * (first - second)).sum()
    total.backward()
    assert s.grad is not None
    return s.grad.float().numpy()


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(found - expected).max() < 1e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("temperature", "kind", "weight"), [(1.0, None, 0.0), (0.7, "paper", 0.3), (1.6, "reference", -0.2)]
)
def test_gradients_are_those_of_materialised_weights(
    models: Callable[[str], Model], family: str, temperature: float, kind: str | None, weight: float
) -> None:
    directory, loaded = models(family)
    vector = tiny.vectors(loaded.layout, 9)
    answer = gradient(loaded, vector, temperature=temperature, divergence=kind, divergence_weight=weight)
    assert answer.gradient is not None and answer.gradient.shape == (loaded.layout.count,)
    expected = by_definition(directory, loaded, vector, temperature, kind, weight)
    assert np.abs(expected).max() > 0.1
    close(answer.gradient, expected)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_gradients_are_those_of_differences(models: Callable[[str], Model], family: str) -> None:
    _, loaded = models(family)
    vector = tiny.vectors(loaded.layout, 9)
    members: dict[str, object] = {"temperature": 0.9, "divergence": "paper", "divergence_weight": 0.5}
    found = gradient(loaded, vector, **members).gradient
    assert found is not None
    direction = np.random.default_rng(1).normal(size=vector.shape).astype(np.float32)
    direction /= np.linalg.norm(direction)
    step = 1e-2
    ahead, behind = (loss(gradient(loaded, vector + sign * step * direction, **members), 0.5) for sign in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(float(found @ direction), rel=1e-2, abs=1e-2)


def test_the_base_is_differentiated_as_multipliers_of_one(models: Callable[[str], Model]) -> None:
    directory, loaded = models("qwen2")
    found = gradient(loaded, None).gradient
    assert found is not None
    close(found, by_definition(directory, loaded, np.ones(loaded.layout.count, np.float32), 1, None, 0))


def test_layers_below_the_first_get_no_gradient_and_the_others_the_same(models: Callable[[str], Model]) -> None:
    _, loaded = models("llama")
    vector = tiny.vectors(loaded.layout, 9)
    whole, part = (gradient(loaded, vector, from_layer=layer) for layer in (0, 2))
    assert whole.gradient is not None and part.gradient is not None
    for target in loaded.layout:
        place = loaded.layout.slices[target.name]
        if target.layer < 2:
            assert not part.gradient[place].any()
        else:
            close(part.gradient[place], whole.gradient[place])
    assert part.scores == whole.scores
    none = gradient(loaded, vector, from_layer=3).gradient
    assert none is not None and not none.any()


def test_batches_and_layers_computed_twice_change_no_gradient(models: Callable[[str], Model]) -> None:
    _, loaded = models("gemma2")
    vector = tiny.vectors(loaded.layout, 9)
    whole = gradient(loaded, vector, divergence="paper", divergence_weight=0.1).gradient
    for limits in (Limits(tokens=1), Limits(activations=0)):
        other = gradient(loaded, vector, limits, divergence="paper", divergence_weight=0.1).gradient
        assert whole is not None and other is not None
        close(other, whole)


def test_layers_are_computed_twice_where_there_is_no_room(models: Callable[[str], Model]) -> None:
    _, loaded = models("llama")
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    # A module within the layer: the layer itself is called once.
    handle = loaded.model.model.layers[0].mlp.register_forward_pre_hook(count)
    try:
        gradient(loaded, tiny.vectors(loaded.layout, 9))
        once, passes = passes, 0
        gradient(loaded, tiny.vectors(loaded.layout, 9), Limits(activations=0))
        assert passes == 2 * once
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", ["paper", "reference"])
def test_without_derivatives_there_are_scores_and_divergences_alone(models: Callable[[str], Model], kind: str) -> None:
    directory, loaded = models("llama")
    vector = tiny.vectors(loaded.layout, 9)
    answer = gradient(loaded, vector, derivatives=None, divergence=kind, temperature=1.3)
    assert answer.gradient is None and answer.divergences is not None
    adapted, base = tiny.reference(directory, loaded.layout, vector), tiny.reference(directory)
    for item, (prompt, continuations) in enumerate(questions(7, 5)):
        for number, tokens in enumerate(continuations):
            with torch.no_grad():
                p, q = (
                    log_softmax(model(input_ids=torch.tensor([prompt + tokens])).logits[0].double() / 1.3, 1)[
                        len(prompt) - 1 : -1
                    ]
                    for model in ((adapted, base) if kind == "paper" else (base, adapted))
                )
                expected = tiny.scores(adapted, prompt, tokens, 1.3)
            assert answer.divergences[item][number] == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-4)
            assert worst([answer.scores[item][number]], [expected.tolist()]) < 3e-5


# Decoding.


def generated(
    loaded: LoadedModel, prompt: list[int], vector: Multipliers | None, **members: object
) -> tuple[list[int], str]:
    request = GenerateRequest.model_validate(
        {
            "prompt": prompt,
            "mixture": None,
            "max_tokens": 12,
            "stop_ids": [],
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": 0,
        }
        | members
    )
    decoding = compute.Decoding(loaded, request, [(None if vector is None else name(loaded, vector), vector)])
    found = [decoding.next()]
    while decoding.end is None:
        found.append(decoding.next())
    return found, decoding.end


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_are_those_of_generate(models: Callable[[str], Model], family: str) -> None:
    directory, loaded = models(family)
    for vector in (None, tiny.vectors(loaded.layout, 3)):
        model = tiny.reference(directory, loaded.layout, vector)
        for prompt, _ in questions(11, 4):
            expected = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=None)
            for loader in (loaded, dataclasses.replace(loaded, caches=False)):
                assert generated(loader, prompt, vector) == (expected[0, len(prompt) :].tolist(), "length")


def test_an_answer_ends_behind_a_stop_token_at_its_length_and_with_the_context(models: Callable[[str], Model]) -> None:
    _, loaded = models("llama")
    whole, _ = generated(loaded, [5, 6], None)
    stop = whole[3]
    first = whole.index(stop)
    assert generated(loaded, [5, 6], None, stop_ids=[stop]) == (whole[: first + 1], "stop")
    assert generated(loaded, [5, 6], None, max_tokens=1) == (whole[:1], "length")
    prompt = [5] * (tiny.CONTEXT - 3)
    found, end = generated(loaded, prompt, None)
    assert (len(found), end) == (3, "context")


def test_sampled_answers_depend_on_their_seed_alone(models: Callable[[str], Model]) -> None:
    _, loaded = models("qwen2")
    vector = tiny.vectors(loaded.layout, 3)
    answers = [generated(loaded, [5, 6], vector, temperature=1.0, seed=seed)[0] for seed in (1, 2, 1, 2**64 - 1)]
    assert answers[0] == answers[2]
    assert len({tuple(answer) for answer in answers}) == 3


def test_samples_have_the_frequencies_of_the_distribution_and_top_p_cuts_them() -> None:
    logits = torch.log(torch.tensor([0.1, 0.5, 0.15, 0.25]))
    generator = torch.Generator().manual_seed(1)

    def counts(**members: float) -> torch.Tensor:
        request = GenerateRequest.model_validate(
            {
                "prompt": [1],
                "mixture": None,
                "max_tokens": 1,
                "stop_ids": [],
                "temperature": 1.0,
                "top_p": 1.0,
                "seed": 0,
            }
            | members
        )
        return (
            torch.tensor([compute._sampled(logits, request, generator) for _ in range(4000)]).bincount(minlength=4)
            / 4000
        )

    torch.testing.assert_close(counts(), torch.tensor([0.1, 0.5, 0.15, 0.25]), rtol=0, atol=0.03)
    torch.testing.assert_close(counts(top_p=0.7), torch.tensor([0, 2 / 3, 0, 1 / 3]), rtol=0, atol=0.03)
    torch.testing.assert_close(
        counts(temperature=0.5), torch.tensor([0.01, 0.25, 0.0225, 0.0625]) / 0.345, rtol=0, atol=0.03
    )
    assert counts(top_p=1e-9).tolist() == [0, 1, 0, 0]


# The fixtures that t2d's built-in engine is tested with: two engines, one set of values of PyTorch.


@pytest.mark.parametrize("family", ["llama3", "qwen2", "phi3", "gemma3", "mistral-window", "qwen3"])
def test_the_values_of_the_fixtures_are_met(family: str, tmp_path: Path) -> None:
    loaded = loaded_from(FIXTURES / family, tmp_path)
    values = json.loads((FIXTURES / family / "values.json").read_text())
    assert loaded.digest == "sha256:" + values["digest"]
    expert = load_file(FIXTURES / family / "expert.safetensors")
    vector = np.concatenate([expert[target.name].float().numpy() for target in loaded.layout])
    for key, mixture in (("base", None), ("adapted", vector)):
        for case in values[key]["continuations"]:
            [[found]] = score(loaded, [(case["prompt_ids"], [case["continuation_ids"]], mixture)])
            assert worst([found], [case["continuation_logprobs"]]) < 2e-4
        for case in values[key]["greedy"]:
            found, _ = generated(loaded, case["prompt_ids"], mixture, max_tokens=16)
            assert found == case["generated_ids"]
    start, end = values["loss_targets"]
    request = GradientRequest.model_validate(
        {
            "items": [{"prompt": values["ids"][:start], "continuations": [values["ids"][start:end]]}],
            "mixture": name(loaded, vector),
            "derivatives": [[[-1.0] * (end - start)]],
        }
    )
    answer = result(compute.gradient(loaded, LIMITS, request, vector, request.mixture))
    assert -sum(answer.scores[0][0]) == pytest.approx(values["loss"], abs=1e-2)
    expected = np.concatenate([values["gradient"][target.name] for target in loaded.layout])
    np.testing.assert_allclose(answer.gradient, expected, rtol=1e-3, atol=1e-3)


# Halves.


def test_a_bfloat16_model_keeps_its_multipliers_in_float32(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model", torch.bfloat16)
    loaded = loaded_from(directory, tmp_path / "factors", "bfloat16")
    assert loaded.stored == "BF16" and loaded.digest == loaded_from(directory, tmp_path / "factors").digest
    vector = tiny.vectors(loaded.layout, 1)
    model = tiny.reference(directory, loaded.layout, vector)
    asked = questions(1)
    for (prompt, continuations), found in zip(asked, score(loaded, [(p, c, vector) for p, c in asked]), strict=True):
        with torch.no_grad():
            expected = [tiny.scores(model, prompt, each).tolist() for each in continuations]
        assert worst(found, expected) < 0.5


# Directories that cannot be served.


def test_a_checkpoint_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model")
    tensors = load_file(directory / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        loaded_from(directory, tmp_path / "factors")


def test_an_architecture_that_transformers_has_not_is_refused(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"model_type": "none-such"}))
    with pytest.raises(CheckpointError, match="none-such"):
        loaded_from(directory, tmp_path / "factors")


def test_code_of_a_directory_is_never_run(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(CheckpointError):
        loaded_from(directory, tmp_path / "factors")
    assert not (tmp_path / "ran").exists()


def test_factors_that_cannot_be_kept_are_a_warning(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model")
    (tmp_path / "file").write_text("")
    loaded = loaded_from(directory, tmp_path / "file" / "factors")
    assert any("cannot write the factorization" in text for text in loaded.warnings)
    score(loaded, [([1], [[2]], tiny.vectors(loaded.layout, 1))])
