"""The arithmetic of the patched layers against W' = U diag(s σ) Vᵀ, without vLLM."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from t2_engines.layout import Layout, Target
from t2_engines.svf import factorize
from t2_engines.vllm import adapters, layers
from t2_engines.vllm.layers import Form, Share, SVFLinear, TokenRows, make_part

SLOTS = 3
COLUMNS = 10
SHAPES = {"wide": (7, COLUMNS), "square": (10, COLUMNS), "tall": (16, COLUMNS)}


def matrices(names: list[str]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(SHAPES[name], generator=generator) for name in names}


def under(w: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """W' by a full decomposition, in float64."""
    u, sigma, v = torch.linalg.svd(w.double(), full_matrices=False)
    return u @ torch.diag(sigma * s.double()) @ v


def build(
    found: dict[str, torch.Tensor],
    forms: dict[str, Form],
    tokens: TokenRows,
    dtype: torch.dtype = torch.float32,
    share: Callable[[Target], Share] = lambda target: Share(slice(0, target.rows), slice(0, target.columns)),
) -> tuple[SVFLinear, dict[str, torch.Tensor]]:
    """A fused layer of some matrices, and the multipliers that are put into its slots, (slots, r) each."""
    parts, kept, offset = [], [], 0
    generator = torch.Generator().manual_seed(2)
    multipliers = {}
    for name, w in found.items():
        target = Target(name, w.shape[0], w.shape[1])
        held = share(target)
        kept.append(w[held.rows, held.columns])
        part = make_part(
            target,
            slice(offset, offset + kept[-1].shape[0]),
            forms[name],
            factorize(w).q,
            lambda w=w: w,
            held,
            slots=SLOTS,
            device="cpu",
            dtype=dtype,
        )
        multipliers[name] = 1 + torch.randn(SLOTS, target.rank, generator=generator)
        part.table[:SLOTS] = multipliers[name]
        parts.append(part)
        offset += kept[-1].shape[0]
    fused = torch.cat(kept).to(dtype)
    return SVFLinear("test", parts, tokens, lambda x: torch.nn.functional.linear(x, fused), lambda: fused), multipliers


@pytest.mark.parametrize(
    "forms",
    [
        {"wide": "output", "square": "output", "tall": "product"},
        {"wide": "product", "square": "product", "tall": "product"},
        {"tall": "input"},
        {"wide": "factored", "square": "factored", "tall": "factored"},
    ],
    ids=lambda forms: "-".join(forms.values()),
)
def test_every_token_of_a_batch_gets_the_matrix_of_its_own_mixture(forms: dict[str, Form]) -> None:
    found = matrices(list(forms))
    tokens = TokenRows(SLOTS, 16, "cpu")
    layer, multipliers = build(found, forms, tokens)
    slots = [2, -1, 0, 1, 1, -1, 2]
    tokens.set(torch.tensor(slots), True)
    x = torch.randn(len(slots), COLUMNS, generator=torch.Generator().manual_seed(3))
    bias = torch.randn(layer.rows, generator=torch.Generator().manual_seed(4))
    y = layer(x, bias)
    for index, slot in enumerate(slots):
        expected = torch.cat(
            [
                (under(w, multipliers[name][slot]) if slot >= 0 else w.double()) @ x[index].double()
                for name, w in found.items()
            ]
        )
        assert (y[index].double() - expected - bias).abs().max() < 2e-5


@pytest.mark.parametrize("forms", [{"wide": "output", "tall": "product"}, {"tall": "input"}], ids=["output", "input"])
@pytest.mark.parametrize("may_skip", [True, False])
def test_tokens_without_a_mixture_are_the_base_bit_for_bit(forms: dict[str, Form], may_skip: bool) -> None:
    found = matrices(list(forms))
    tokens = TokenRows(SLOTS, 16, "cpu")
    tokens.may_skip = may_skip
    layer, _ = build(found, forms, tokens)
    tokens.set(torch.tensor([-1, -1, -1]), False)
    x = torch.randn(3, COLUMNS, generator=torch.Generator().manual_seed(3))
    assert torch.equal(layer(x, None), layer.base(x))


class Ranks:
    """Two ranks in two threads, and what vLLM's collectives do between them."""

    def __init__(self) -> None:
        self.meeting = threading.Barrier(2, timeout=30)
        self.given: list[torch.Tensor] = [torch.empty(0)] * 2

    def _exchange(self, rank: int, values: torch.Tensor) -> list[torch.Tensor]:
        self.given[rank] = values
        self.meeting.wait()
        all_of_them = list(self.given)
        self.meeting.wait()
        return all_of_them

    def share(self, rank: int, by_columns: bool) -> Callable[[Target], Share]:
        def held(target: Target) -> Share:
            def half(count: int) -> slice:
                return slice(rank * count // 2, (rank + 1) * count // 2)

            rows, columns = slice(0, target.rows), slice(0, target.columns)
            rows, columns = (rows, half(target.columns)) if by_columns else (half(target.rows), columns)
            return Share(
                rows,
                columns,
                2,
                rank,
                lambda values: torch.cat(self._exchange(rank, values), -1),
                lambda values: sum(self._exchange(rank, values), torch.zeros(())),
            )

        return held


@pytest.mark.parametrize("form", ["product", "factored"])
@pytest.mark.parametrize("by_columns", [False, True], ids=["rows", "columns"])
def test_ranks_that_hold_their_share_of_each_factor_answer_as_one(form: Form, by_columns: bool) -> None:
    found = matrices(["square", "tall"])
    forms = {"square": form, "tall": form}
    tokens = TokenRows(SLOTS, 16, "cpu")
    tokens.set(torch.tensor([0, -1, 2]), True)
    x = torch.randn(3, COLUMNS, generator=torch.Generator().manual_seed(3))
    ranks = Ranks()
    layers_of_ranks = [build(found, forms, tokens, share=ranks.share(rank, by_columns))[0] for rank in range(2)]
    with ThreadPoolExecutor(2) as pool:
        inputs = [x[:, :5], x[:, 5:]] if by_columns else [x, x]
        answers = list(pool.map(lambda rank: layers_of_ranks[rank](inputs[rank], None), range(2)))
    whole, _ = build(found, forms, tokens)
    if by_columns:
        assert torch.allclose(answers[0] + answers[1], whole(x, None), atol=1e-5)
    else:
        square, tall = (
            torch.cat([answer[:, place] for answer in answers], -1) for place in (slice(0, 5), slice(5, 13))
        )
        assert torch.allclose(torch.cat([square, tall], -1), whole(x, None), atol=1e-5)
    sizes = [
        sum(part.a.numel() + part.b.numel() for part in layer.parts)
        for layer in (*layers_of_ranks, build(found, {n: "product" for n in found}, tokens)[0])
    ]  # type: ignore[union-attr]
    assert sizes[0] == sizes[1] == sizes[2] // 2, "a rank holds half of the factors"


def test_a_factor_that_cannot_be_shared_out_is_whole_on_every_rank() -> None:
    tokens = TokenRows(SLOTS, 4, "cpu")
    odd = {"wide": torch.randn(7, COLUMNS, generator=torch.Generator().manual_seed(1))}
    layer, _ = build(odd, {"wide": "product"}, tokens, share=Ranks().share(0, by_columns=True))
    (part,) = layer.parts
    assert part.complete is None and part.taken is None and part.b is not None and part.b.shape == (7, 7)


def test_bfloat16_keeps_multipliers_in_float32() -> None:
    found = matrices(["square"])
    tokens = TokenRows(SLOTS, 4, "cpu")
    layer, _ = build(found, {"square": "output"}, tokens, torch.bfloat16)
    fine = torch.full((10,), 1 + 2.0**-20)
    layer.parts[0].table[0] = fine
    assert torch.equal(layer.parts[0].table[0], fine)
    assert layer(torch.ones(1, COLUMNS, dtype=torch.bfloat16), None).dtype == torch.bfloat16


def test_parts_that_replace_the_product_cannot_share_a_layer_with_parts_that_add_to_it() -> None:
    with pytest.raises(ValueError, match="cannot be in one layer"):
        build(matrices(["wide", "tall"]), {"wide": "output", "tall": "input"}, TokenRows(SLOTS, 4, "cpu"))


def test_a_compiler_sees_one_operation_and_gets_the_same_numbers() -> None:
    tokens = TokenRows(SLOTS, 16, "cpu")
    layer, _ = build(matrices(["wide", "tall"]), {"wide": "output", "tall": "product"}, tokens)
    tokens.set(torch.tensor([0, 2]), True)
    number = layers.register(layer)
    x = torch.randn(2, COLUMNS, generator=torch.Generator().manual_seed(3))
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(lambda x: layers.run(x, None, number, layer.rows) + 1, backend=keep, fullgraph=True)
    assert torch.equal(compiled(x), layer(x, None) + 1)
    assert [str(node.target) for node in graphs[0].graph.nodes if node.op == "call_function"][0] == "t2.svf_linear"
    tokens.set(torch.tensor([-1, -1]), False)
    assert torch.equal(compiled(x), layer.base(x) + 1), "the graph must read the tables, not remember them"


# The directories that carry mixtures.

LAYOUT = Layout.of(
    [
        Target("model.layers.0.self_attn.q_proj.weight", 6, 8),
        Target("model.layers.0.self_attn.o_proj.weight", 8, 6),
        Target("model.layers.0.mlp.down_proj.weight", 5, 9),
    ]
)


def numbers() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 2, LAYOUT.count).astype(np.float32)


def test_a_mixture_comes_back_from_its_directory_bit_for_bit(tmp_path: Path) -> None:
    digest = LAYOUT.mixture_digest(numbers())
    size = adapters.write(tmp_path / "m", LAYOUT, numbers(), digest, "sha256:base")
    read, found = adapters.read(tmp_path / "m", LAYOUT)
    assert np.array_equal(read, numbers()) and found == digest
    assert size <= adapters.size_of(LAYOUT)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m"]


def test_a_container_of_s_minus_1_is_read_where_nothing_is_lost(tmp_path: Path) -> None:
    s = np.abs(numbers()) + np.float32(0.5)
    adapters.write(tmp_path / "m", LAYOUT, s - 1, LAYOUT.mixture_digest(s), "sha256:base")
    file = tmp_path / "m" / adapters.CONFIGURATION
    file.write_text(file.read_text().replace('"numbers": "multipliers", ', ""))
    read, _ = adapters.read(tmp_path / "m", LAYOUT)
    assert np.array_equal(read, s)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("svf-slot", "svf-lora"), "is no mixture of t2d"),
        (lambda text: text.replace('"multipliers"', '"logits"'), "numbers of kind 'logits'"),
        (lambda text: text.replace('"digest": "sha256:', '"digest": "sha256:0'), "was it changed"),
        (lambda text: text[:-3], "cannot read"),
    ],
)
def test_a_directory_that_is_not_what_it_says_is_refused(tmp_path: Path, change: object, message: str) -> None:
    adapters.write(tmp_path / "m", LAYOUT, numbers(), LAYOUT.mixture_digest(numbers()), "sha256:base")
    file = tmp_path / "m" / adapters.CONFIGURATION
    file.write_text(change(file.read_text()))  # type: ignore[operator]
    with pytest.raises(adapters.AdapterError, match=message):
        adapters.read(tmp_path / "m", LAYOUT)


def test_a_mixture_of_another_model_is_refused(tmp_path: Path) -> None:
    adapters.write(tmp_path / "m", LAYOUT, numbers(), LAYOUT.mixture_digest(numbers()), "sha256:base")
    with pytest.raises(adapters.AdapterError, match="another"):
        adapters.read(tmp_path / "m", Layout.of(list(LAYOUT)[:2]))
    with pytest.raises(adapters.AdapterError, match="another model"):
        adapters.read(tmp_path / "m", Layout.of([*LAYOUT, Target("model.layers.1.self_attn.q_proj.weight", 6, 8)]))
