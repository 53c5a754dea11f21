"""Vectors applied to a model in memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import save_file
from test_torch_compute import FIXTURES
from transformers import AutoModelForCausalLM

import t2_torch
from t2_engines import svf
from t2_engines.checkpoint import Checkpoint
from t2_engines.layout import Layout, Target
from t2_engines.torch_engine.model import decoder_matrices
from t2client import Mixture

IDS = torch.tensor([[3, 4, 5, 6]])


def opened(directory: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(directory, dtype="auto").eval()


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(model: Any, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.fixture(params=["llama", "gpt2", "gpt_neox"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def directory(family: str, tmp_path: Path) -> Path:
    return tiny.make(family, tmp_path / "model")


def layout_of(directory: Path, model: Any) -> Layout:
    """The targets as the engine finds them, named as the checkpoint names them."""
    stored = Checkpoint(directory).tensors
    names = ((name, name.removeprefix("transformer."), weight) for name, weight in decoder_matrices(model))
    return Layout.of(Target(name if name in stored else plain, *weight.shape) for name, plain, weight in names)


def expert(directory: Path, path: Path, seed: int = 1, **metadata: str) -> Layout:
    """Writes an expert for a model, with its digest."""
    model = opened(directory)
    layout, checkpoint = layout_of(directory, model), Checkpoint(directory)
    digest = svf.model_digest(layout, lambda target: checkpoint.matrix(target.name))
    vector = torch.from_numpy(tiny.vectors(layout, seed))
    tensors = {name: vector[place].contiguous() for name, place in layout.slices.items()}
    save_file(tensors, path, {"t2.format": "t2-expert", "t2.base.digest": digest} | metadata)
    return layout


def test_an_applied_model_is_that_of_materialised_weights_and_undone_it_is_the_base(
    directory: Path, tmp_path: Path
) -> None:
    layout = expert(directory, tmp_path / "expert.safetensors")
    model = opened(directory)
    before, base = weights(model), model(IDS).logits
    applied = t2_torch.apply(model, tmp_path / "expert.safetensors")
    expected = tiny.reference(directory, layout, tiny.vectors(layout, 1))(IDS).logits
    torch.testing.assert_close(model(IDS).logits, expected, rtol=0, atol=5e-5)
    assert (model(IDS).logits - base).abs().max() > 0.05
    assert set(applied.matrices) == {target.name for target in layout}
    for _ in range(2):
        applied.undo()
        assert same(model, before)
    assert torch.equal(model(IDS).logits, base)


def test_leaving_a_with_undoes_it_after_an_error_too(directory: Path, tmp_path: Path) -> None:
    expert(directory, tmp_path / "expert.safetensors")
    model = opened(directory)
    before = weights(model)
    with pytest.raises(ZeroDivisionError), t2_torch.apply(model, tmp_path / "expert.safetensors"):
        assert not same(model, before)
        raise ZeroDivisionError
    assert same(model, before)


def test_a_second_application_is_refused_until_the_first_is_undone(directory: Path, tmp_path: Path) -> None:
    expert(directory, tmp_path / "expert.safetensors")
    model = opened(directory)
    with t2_torch.apply(model, tmp_path / "expert.safetensors"):
        with pytest.raises(t2_torch.ApplyError, match="undo that first"):
            t2_torch.apply(model, tmp_path / "expert.safetensors")
    t2_torch.apply(model, tmp_path / "expert.safetensors").undo()


def test_vectors_of_another_base_are_refused_unless_that_is_wanted(directory: Path, tmp_path: Path) -> None:
    expert(directory, tmp_path / "expert.safetensors")
    model = opened(directory)
    with torch.no_grad():
        next(weight for _, weight in decoder_matrices(model))[0, 0] += 1
    before = weights(model)
    with pytest.raises(t2_torch.ApplyError, match="check_digest=False"):
        t2_torch.apply(model, tmp_path / "expert.safetensors")
    assert same(model, before)
    with t2_torch.apply(model, tmp_path / "expert.safetensors", check_digest=False):
        assert not same(model, before)


def test_a_mapping_is_multipliers_and_unnamed_matrices_stay(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model")
    model = opened(directory)
    before = weights(model)
    name = "model.layers.1.mlp.up_proj.weight"
    with t2_torch.apply(model, {name: [0.5] * 24}) as applied:
        assert applied.matrices == (name,)
        torch.testing.assert_close(model.state_dict()[name], before[name] * 0.5, rtol=0, atol=1e-6)
        assert {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])} == {name}
    with pytest.raises(t2_torch.ApplyError, match="is of the base model"):
        t2_torch.apply(model, {name: [0.5] * 24}, digest="sha256:" + "0" * 64)


def test_logits_and_the_nuclear_rescale_are_read(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model")
    model = opened(directory)
    name = "model.layers.0.self_attn.o_proj.weight"
    p = torch.linspace(-2, 2, 24)
    save_file(
        {name: p}, tmp_path / "e.safetensors", {"t2.param_space": "logit", "t2.max_mult": "2", "t2.rescale": "nuclear"}
    )
    u, sigma, v = torch.linalg.svd(model.state_dict()[name].double())
    s = 2 * torch.sigmoid(p.double())
    s = s * sigma.sum() / (s * sigma).sum()
    with t2_torch.apply(model, tmp_path / "e.safetensors"):
        found = model.state_dict()[name]
        torch.testing.assert_close(found.double(), u * (s * sigma) @ v, rtol=0, atol=1e-5)
        assert float(torch.linalg.svdvals(found.double()).sum()) == pytest.approx(float(sigma.sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        ({"model.layers.9.mlp.up_proj.weight": [1.0] * 24}, "no such matrix"),
        ({"lm_head.weight": [1.0] * 24}, "no such matrix"),
        ({"model.layers.0.mlp.up_proj.weight": [1.0] * 23}, "24 singular values"),
        ({"model.layers.0.mlp.up_proj.weight": [float("nan")] * 24}, "not finite"),
        ({"model.layers.0.mlp.up_proj.weight": [11.0] * 24}, "above 10"),
        ({}, "no vectors"),
        ("none.safetensors", "cannot be read"),
    ],
)
def test_vectors_that_do_not_fit_change_nothing(tmp_path: Path, vectors: Any, says: str) -> None:
    model = opened(tiny.make("llama", tmp_path / "model"))
    before = weights(model)
    with pytest.raises(t2_torch.ApplyError, match=says):
        t2_torch.apply(model, vectors)
    assert same(model, before)
    t2_torch.apply(model, {"model.layers.0.mlp.up_proj.weight": [1.0] * 24}).undo()


@pytest.mark.parametrize("metadata", [{"t2.param_space": "cubic"}, {"t2.rescale": "other"}])
def test_metadata_of_an_unknown_meaning_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    model = opened(tiny.make("llama", tmp_path / "model"))
    before = weights(model)
    save_file({"model.layers.0.mlp.up_proj.weight": torch.ones(24)}, tmp_path / "e.safetensors", metadata)
    with pytest.raises(t2_torch.ApplyError, match="t2"):
        t2_torch.apply(model, tmp_path / "e.safetensors")
    assert same(model, before)


def test_a_mixture_of_the_client_is_applied_by_its_open_file(tmp_path: Path) -> None:
    directory = tiny.make("llama", tmp_path / "model")
    layout = expert(directory, tmp_path / "m.safetensors")
    model = opened(directory)
    with Mixture({"task": "arc"}, os.open(tmp_path / "m.safetensors", os.O_RDONLY)) as mixture:
        (tmp_path / "m.safetensors").unlink()
        with t2_torch.apply(model, mixture):
            expected = tiny.reference(directory, layout, tiny.vectors(layout, 1))(IDS).logits
            torch.testing.assert_close(model(IDS).logits, expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("family", ["llama3", "phi3", "qwen2"])
def test_the_experts_of_the_fixtures_give_their_values(family: str) -> None:
    """With the digest that t2d computes, which the experts' files have."""
    values = json.loads((FIXTURES / family / "values.json").read_text())
    model = opened(FIXTURES / family)
    assert "t2.base.digest" in _metadata(FIXTURES / family / "expert.safetensors")
    with t2_torch.apply(model, FIXTURES / family / "expert.safetensors"), torch.no_grad():
        found = model(torch.tensor([values["ids"]])).logits[0, -1]
    torch.testing.assert_close(found, torch.tensor(values["last_logits"]), rtol=0, atol=2e-4)


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())
