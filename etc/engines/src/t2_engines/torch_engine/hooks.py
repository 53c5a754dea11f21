"""The products of a model's target layers under multipliers that differ from row to row of a batch.

Each target layer's `forward` is replaced by one that reads what multipliers are set. Where none are, the layer's own forward is
called: the base is the model to the bit. Else, with c = s - 1 of each row and Q of `svf`:

    on the output    y = x Wᵀ,  y += ((y Q) ⊙ c) Qᵀ,  then the bias
    on the input     x += ((x Q) ⊙ c) Qᵀ,  then the layer's own forward

Nothing but Q is held beside the model, and everything is differentiable by s. The change is computed in float32 whatever type
the model has, so that the multipliers lose nothing.

Used by one thread at a time. Autograd may call back from others, which only read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D

from t2_engines.layout import Layout, Target


@dataclass(frozen=True)
class Site:
    """A target and the layer that multiplies by it."""

    target: Target
    layer: nn.Module

    @property
    def is_on_input(self) -> bool:
        """Whether the short side is that of the inputs. GPT-2's Conv1D has its matrix as (inputs, outputs)."""
        return self.target.is_left if isinstance(self.layer, Conv1D) else not self.target.is_left


@dataclass(frozen=True)
class Batch:
    """The multipliers of a batch.

    vectors (mixtures, count): s of each mixture. rows (batch): which of them each row has; None where all have the only one.
    tokens: of each row, where rows differ.
    fixed (count): where set, s of the layers below `from_layer`, which are not differentiated.
    """

    vectors: Tensor
    rows: Tensor | None = None
    tokens: int = 0
    fixed: Tensor | None = None
    from_layer: int = 0


class Hooks:
    """Owns the replaced forwards of a model's targets, until `remove`."""

    def __init__(
        self, layout: Layout, sites: Sequence[Site], factors: Mapping[str, Tensor], layers: Sequence[nn.Module]
    ) -> None:
        """`factors`: Q of each target by its name, float32, on the model's device. `layers`: the decoder's, to checkpoint."""
        self.layout = layout
        self.sites = sites
        self.layers = layers
        self._batch: Batch | None = None
        self._changed: frozenset[str] = frozenset()
        self._checkpoints = False
        for site in sites:
            site.layer.forward = self._product(site, factors[site.target.name])
        for layer in layers:
            layer.forward = self._checkpointed(layer.forward)

    def remove(self) -> None:
        for site in self.sites:
            del site.layer.forward
        for layer in self.layers:
            del layer.forward

    @contextmanager
    def applied(self, batch: Batch | None, *, checkpoints: bool = False) -> Iterator[None]:
        """Sets the multipliers of what is computed meanwhile, of backward passes too; None is the base."""
        self._batch, self._checkpoints = batch, checkpoints
        self._changed = frozenset() if batch is None else self._find_changed(batch)
        try:
            yield
        finally:
            self._batch, self._changed, self._checkpoints = None, frozenset(), False

    def _find_changed(self, batch: Batch) -> frozenset[str]:
        """The targets whose multipliers are not all 1, or are differentiated."""
        with torch.no_grad():
            vectors = batch.vectors if batch.fixed is None else batch.fixed.unsqueeze(0)
            differs = (vectors != 1).any(0).cpu()
        return frozenset(
            target.name
            for target in self.layout
            if (batch.vectors.requires_grad and target.layer >= batch.from_layer)
            or bool(differs[self.layout.slices[target.name]].any())
        )

    def _change(self, site: Site, x: Tensor) -> Tensor:
        """c of a target for each row of x: (r), (batch, 1, r), or (batch times tokens, r) where x is so."""
        batch = self._batch
        assert batch is not None
        place = self.layout.slices[site.target.name]
        if batch.fixed is not None and site.target.layer < batch.from_layer:
            return batch.fixed[place] - 1
        change = batch.vectors[:, place] - 1
        if batch.rows is None:
            assert len(change) == 1
            return change[0]
        if x.shape[:-1] == (len(batch.rows), batch.tokens):
            return change[batch.rows].unsqueeze(1)
        if x.shape[:-1] == (len(batch.rows) * batch.tokens,):
            return change[batch.rows.repeat_interleave(batch.tokens)]
        # Models that do so get batches of one mixture (LoadedModel.mixes_rows).
        raise RuntimeError(
            f"{site.target.name} got {tuple(x.shape)}, which is not {len(batch.rows)} rows of {batch.tokens} tokens"
        )

    def _product(self, site: Site, q: Tensor) -> Callable[[Tensor], Tensor]:
        layer = site.layer
        plain: Callable[[Tensor], Tensor] = layer.forward
        name = site.target.name

        def changed(values: Tensor) -> Tensor:
            wide = values.float()
            return (wide + ((wide @ q) * self._change(site, values)) @ q.T).to(values.dtype)

        def on_input(x: Tensor) -> Tensor:
            return plain(changed(x)) if name in self._changed else plain(x)

        def on_output(x: Tensor) -> Tensor:
            if name not in self._changed:
                return plain(x)
            weight: Tensor = layer.weight.T if isinstance(layer, Conv1D) else layer.weight  # type: ignore[assignment]
            y = changed(functional.linear(x, weight))
            bias: Tensor | None = layer.bias  # type: ignore[assignment]
            return y if bias is None else y + bias

        return on_input if site.is_on_input else on_output

    def _checkpointed(self, plain: Callable[..., object]) -> Callable[..., object]:
        def forward(*inputs: object, **named: object) -> object:
            if not (self._checkpoints and torch.is_grad_enabled()):
                return plain(*inputs, **named)
            return checkpoint(partial(plain, **named), *inputs, use_reentrant=False, preserve_rng_state=False)

        return forward
