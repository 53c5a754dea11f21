import json
import multiprocessing
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file

from t2_engines import svf
from t2_engines.checkpoint import Checkpoint, CheckpointError, read_json, served_files
from t2_engines.layout import Layout, Target

FAMILIES = Path(__file__).parents[3] / "Tests/Fixtures/families"
SHAPES = [(5, 9), (9, 5), (6, 6), (1, 4)]
LAYOUT = Layout.of(Target(f"l.{index}.a.weight", *shape) for index, shape in enumerate(SHAPES))
DIGEST = "sha256:" + "ab" * 32


def matrix(target: Target) -> torch.Tensor:
    return torch.randn(target.rows, target.columns, generator=torch.Generator().manual_seed(target.layer + 1))


def not_computed(target: Target) -> torch.Tensor:
    raise AssertionError(f"{target.name} is computed anew")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_short_side_gives_the_decomposition(shape: tuple[int, int]) -> None:
    target = Target("l.0.a.weight", *shape)
    weight = matrix(target).double()
    factor = svf.factorize(weight)
    u, sigma, v = torch.linalg.svd(weight, full_matrices=False)
    torch.testing.assert_close(factor.sigma, sigma, rtol=0, atol=1e-7)
    s = torch.linspace(0.2, 1.9, target.rank, dtype=torch.float64)
    q = factor.q.double()
    adapted = q * s @ q.T @ weight if target.is_left else weight @ (q * s @ q.T)
    torch.testing.assert_close(adapted, u * (s * sigma) @ v, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["llama3", "llama32-bf16", "phi3", "qwen2", "gemma3", "mistral-nemo"])
def test_the_digest_of_a_model_is_that_of_t2d(family: str) -> None:
    """values.json has the digest that Tests/Shared/ModelFormatsTests/FamilyTests.swift compares with OpenModel.digest()."""
    checkpoint = Checkpoint(FAMILIES / family)
    layout = Layout.of(
        Target(name, *stored.shape) for name, stored in checkpoint.tensors.items() if name.endswith("_proj.weight")
    )
    expected = json.loads((FAMILIES / family / "values.json").read_text())["digest"]
    assert svf.model_digest(layout, lambda target: checkpoint.matrix(target.name)) == "sha256:" + expected


def test_factors_are_computed_once_and_then_mapped(tmp_path: Path) -> None:
    cache = svf.FactorCache(tmp_path / "new" / "factors")
    told: list[tuple[int, int]] = []
    made = cache.read_or_make(DIGEST, LAYOUT, matrix, lambda done, of: told.append((done, of)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4)]
    read = cache.read_or_make(DIGEST, LAYOUT, not_computed)
    for target in LAYOUT:
        assert torch.equal(made[target.name].q, read[target.name].q)
        assert torch.equal(made[target.name].sigma, read[target.name].sigma)
    assert sorted(path.name for path in cache.directory.iterdir()) == ["ab" * 32 + ".lock", "ab" * 32 + ".safetensors"]


def test_a_file_that_was_changed_is_made_anew(tmp_path: Path) -> None:
    cache = svf.FactorCache(tmp_path)
    cache.read_or_make(DIGEST, LAYOUT, matrix)
    path = cache.path(DIGEST)
    good, tensors = path.read_bytes(), load(path.read_bytes())
    for damaged in (good[:-1] + bytes([good[-1] ^ 1]), good[:-8], b"", b"not safetensors", good[:40]):
        path.write_bytes(damaged)
        assert cache.read(DIGEST, LAYOUT) is None
        cache.read_or_make(DIGEST, LAYOUT, matrix)
        again = load(path.read_bytes())
        assert again.keys() == tensors.keys()
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in again.items())


def test_factors_of_another_model_or_layout_are_not_taken(tmp_path: Path) -> None:
    cache = svf.FactorCache(tmp_path)
    cache.read_or_make(DIGEST, LAYOUT, matrix)
    other = "sha256:" + "cd" * 32
    cache.path(DIGEST).rename(cache.path(other))
    assert cache.read(other, LAYOUT) is None
    cache.path(other).rename(cache.path(DIGEST))
    assert cache.read(DIGEST, Layout.of([*LAYOUT][:-1])) is None
    assert cache.read(DIGEST, Layout.of([*LAYOUT, Target("l.9.a.weight", 2, 2)])) is None


def test_what_a_writer_that_died_left_is_removed(tmp_path: Path) -> None:
    cache = svf.FactorCache(tmp_path)
    left = tmp_path / ("ab" * 32 + ".99999.part")
    left.write_bytes(b"half")
    cache.read_or_make(DIGEST, LAYOUT, matrix)
    assert not left.exists()


def _make(directory: Path, computed: "multiprocessing.Queue[str]") -> None:
    def load(target: Target) -> torch.Tensor:
        computed.put(target.name)
        return matrix(target)

    svf.FactorCache(directory).read_or_make(DIGEST, LAYOUT, load)


def test_processes_that_start_together_compute_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    computed: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=_make, args=(tmp_path, computed)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert sorted(computed.get(timeout=10) for _ in LAYOUT) == [target.name for target in LAYOUT]
    assert computed.empty()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(svf.FactorCacheError, match="--factors") as caught:
        svf.FactorCache(tmp_path / "file" / "factors").read_or_make(DIGEST, LAYOUT, matrix)
    assert not caught.value.full


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(b"x")

    monkeypatch.setattr(svf, "save_file", full)
    with pytest.raises(svf.FactorCacheError) as caught:
        svf.FactorCache(tmp_path).read_or_make(DIGEST, LAYOUT, matrix)
    assert caught.value.full
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*.safetensors"))


def test_a_checkpoint_gives_halves_widened_exactly() -> None:
    checkpoint = Checkpoint(FAMILIES / "llama32-bf16")
    name = "model.layers.0.mlp.gate_proj.weight"
    stored = load_file(FAMILIES / "llama32-bf16/model.safetensors")[name]
    assert stored.dtype == torch.bfloat16
    assert torch.equal(checkpoint.matrix(name), stored.float())


def test_a_directory_that_is_no_checkpoint_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no directory"):
        Checkpoint(tmp_path / "none")
    with pytest.raises(CheckpointError, match="no config.json"):
        Checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="save_pretrained"):
        Checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 16)
    with pytest.raises(CheckpointError, match="model.safetensors"):
        Checkpoint(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../model.safetensors"}}')
    with pytest.raises(CheckpointError, match="names"):
        Checkpoint(tmp_path)


def test_served_files_are_those_of_their_digest(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "other.json").write_text("{}")
    files, warnings = served_files(tmp_path)
    assert list(files) == ["config.json"] and not warnings
    assert files["config.json"].digest == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert files["config.json"].read() == b"{}" and files["config.json"].size == 2
    assert read_json(tmp_path / "config.json") == {} and read_json(tmp_path / "none.json") == {}
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="has changed"):
        files["config.json"].read()
