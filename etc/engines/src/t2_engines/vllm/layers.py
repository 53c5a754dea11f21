"""The product of a linear layer where every token has the multipliers of its own mixture.

A fused layer of vLLM holds the rows of several targets (q, k and v of an attention; gate and up of a feed-forward part), and
under tensor parallelism one rank holds a slice of each. With s of the token's mixture, r = min(rows, columns)
multipliers for each target, a part of the output is in one of these forms:

    output    z = W x,  y = z + Q ((s - 1) ⊙ (Qᵀ z))         rows <= columns, all of W here:      nothing in memory but Q (r, r)
    input     y = W (x + Q ((s - 1) ⊙ (Qᵀ x)))               rows > columns, all of W and readable: nothing in memory but Q
    product   y = W x + B ((s - 1) ⊙ (A x))                  W = B A; B (rows here, r), A (r, columns here)
    factored  y = B (s ⊙ (A x))                              the same, and no W at all

`output`, `input` and `product` give W x exactly where s = 1. `factored` differs from it by rounding, costs (rows + columns) r
for every token instead of rows columns, and lets W go. The first two need a matrix whole, so under tensor parallelism all is
`product` or `factored`, and a rank holds its share of each factor:

    rows shared out      A (r / ranks, columns), its answers gathered;       B (rows / ranks, r)
    columns shared out   A (r, columns / ranks), its answers summed;         B (rows, r / ranks), and the layer sums the ranks

Nothing here imports vLLM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F

from t2_engines.layout import Target

Form = Literal["output", "input", "product", "factored"]


class TokenRows:
    """Which row of the tables each token of the running batch reads: its slot, or the last row where it has no mixture.

    The buffer stays where it is, since CUDA graphs hold its address. `any_mixture` is for eager runs only.
    """

    def __init__(self, slots: int, tokens: int, device: torch.device | str) -> None:
        self.slots = slots
        self.buffer = torch.full((tokens,), slots, dtype=torch.long, device=device)
        self.any_mixture = False
        #: Whether a batch without any mixture may leave the change out. Not where a graph is recorded: it has no branches.
        self.may_skip = False

    def set(self, slots_of_tokens: torch.Tensor, any_mixture: bool) -> None:
        """Takes the slot of each token, -1 for none."""
        count = slots_of_tokens.shape[0]
        self.buffer[:count] = torch.where(slots_of_tokens < 0, self.slots, slots_of_tokens)
        self.any_mixture = any_mixture


@dataclass(slots=True)
class Part:
    """A target, or the slice of it, within a fused layer of this rank.

    `table` (slots + 1, r) in float32 has the multipliers of each slot; its last row is that of tokens without a mixture.
    """

    target: Target
    rows: slice
    form: Form
    table: torch.Tensor
    q: torch.Tensor | None = None
    a: torch.Tensor | None = None
    b: torch.Tensor | None = None
    #: What makes A x (tokens, r) of this rank's share of it.
    complete: Callable[[torch.Tensor], torch.Tensor] | None = None
    #: Which of the r this rank's B takes; all where it is None.
    taken: slice | None = None

    def change(self, values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Q (scale ⊙ (Qᵀ v)) of values (tokens, r) and a scale (tokens, r)."""
        assert self.q is not None
        return F.linear(_scaled(values @ self.q, scale), self.q)

    def product(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """B (scale ⊙ (A x)), (tokens, rows here)."""
        assert self.a is not None and self.b is not None
        p = F.linear(x, self.a)
        if self.complete is not None:
            p = self.complete(p)
        if self.taken is not None:
            p, scale = p[:, self.taken], scale[:, self.taken]
        return F.linear(_scaled(p, scale), self.b)

    @property
    def bytes(self) -> int:
        return sum(t.nbytes for t in (self.q, self.a, self.b, self.table) if t is not None)


@dataclass(slots=True)
class SVFLinear:
    """A fused linear layer of this rank. `base` is its own product without bias, (tokens, columns) to (tokens, rows)."""

    name: str
    parts: Sequence[Part]
    tokens: TokenRows
    base: Callable[[torch.Tensor], torch.Tensor]
    #: The weights (rows here, columns here), read anew each time since vLLM may exchange them. For parts of form `input`.
    weight: Callable[[], torch.Tensor] | None = None
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = sum(part.rows.stop - part.rows.start for part in self.parts)
        forms = {part.form for part in self.parts}
        if len(forms) > 1 and forms & {"input", "factored"}:
            raise ValueError(f"'{self.name}': parts of forms {sorted(forms)} cannot be in one layer")

    def __call__(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        y = self._product(flat)
        if bias is not None:
            y = y + bias
        return y.view(*x.shape[:-1], self.rows)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        form = self.parts[0].form
        rows = self.tokens.buffer[: x.shape[0]]
        if form == "factored":
            return _joined([part.product(x, part.table.index_select(0, rows)) for part in self.parts])
        if self.tokens.may_skip and not self.tokens.any_mixture:
            return self.base(x)
        if form == "input":
            assert self.weight is not None
            weight = self.weight()
            return _joined(
                [
                    F.linear(x + part.change(x, part.table.index_select(0, rows) - 1), weight[part.rows])
                    for part in self.parts
                ]
            )
        y = self.base(x)
        for part in self.parts:
            scale = part.table.index_select(0, rows) - 1
            place = y[:, part.rows]
            place += part.change(place, scale) if part.form == "output" else part.product(x, scale)
        return y


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank holds of a target: its rows and columns of W, and how the ranks put A x together."""

    rows: slice
    columns: slice
    ranks: int = 1
    rank: int = 0
    #: Of (tokens, n) on every rank makes (tokens, ranks n), in the order of the ranks.
    gather: Callable[[torch.Tensor], torch.Tensor] | None = None
    #: The sum over the ranks.
    reduce: Callable[[torch.Tensor], torch.Tensor] | None = None

    @property
    def is_whole(self) -> bool:
        return self.ranks == 1


def make_part(
    target: Target,
    rows: slice,
    form: Form,
    q: torch.Tensor,
    matrix: Callable[[], torch.Tensor],
    share: Share,
    *,
    slots: int,
    device: torch.device | str,
    dtype: torch.dtype,
) -> Part:
    """A part with what its form needs, on its device in the model's type.

    `q` is (r, r) in float32; `matrix` gives W in float32 and is asked only where it is needed. Products are formed in float64
    before they are rounded. Where r cannot be shared out among the ranks, each holds the factor that would be, whole.
    """
    table = torch.ones((slots + 1, target.rank), dtype=torch.float32, device=device)
    if form in ("output", "input"):
        return Part(target, rows, form, table, q=q.to(device, dtype).contiguous())
    w = matrix().to(device, torch.float64)
    wide = q.to(device, torch.float64)
    a, b = (wide.T @ w[:, share.columns], wide) if target.is_left else (wide.T[:, share.columns], w[share.rows] @ wide)
    if target.is_left:
        b = b[share.rows]
    part = Part(target, rows, form, table)
    if share.ranks > 1 and target.rank % share.ranks == 0:
        each = target.rank // share.ranks
        mine = slice(share.rank * each, (share.rank + 1) * each)
        if share.columns == slice(0, target.columns):
            a, part.complete = a[mine], share.gather
        else:
            b, part.complete, part.taken = b[:, mine], share.reduce, mine
    part.a, part.b = a.to(dtype).contiguous(), b.to(dtype).contiguous()
    return part


def _scaled(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    # The scale stays in float32 until it is applied: s - 1 in bfloat16 would keep 8 bits of it.
    return (values * scale).to(values.dtype)


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


# What torch.compile and CUDA graphs see of a layer: one operation that they do not look into. Its layer is named by a number,
# since an operation takes no objects.
_layers: list[SVFLinear] = []
_library = torch.library.Library("t2", "DEF")  # type: ignore[no-untyped-call]
_library.define("svf_linear(Tensor x, Tensor? bias, int layer, int rows) -> Tensor")  # type: ignore[no-untyped-call]


def _run(x: torch.Tensor, bias: torch.Tensor | None, layer: int, rows: int) -> torch.Tensor:
    return _layers[layer](x, bias)


def _shape(x: torch.Tensor, bias: torch.Tensor | None, layer: int, rows: int) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], rows))


_library.impl("svf_linear", _run, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
torch.library.register_fake("t2::svf_linear", _shape, lib=_library)


def register(layer: SVFLinear) -> int:
    """The number by which `run` finds a layer; for the life of the process."""
    _layers.append(layer)
    return len(_layers) - 1


def run(x: torch.Tensor, bias: torch.Tensor | None, layer: int, rows: int) -> torch.Tensor:
    """A registered layer's product, opaque to a compiler."""
    if torch.compiler.is_compiling():
        compiled: torch.Tensor = torch.ops.t2.svf_linear(x, bias, layer, rows)
        return compiled
    return _layers[layer](x, bias)
