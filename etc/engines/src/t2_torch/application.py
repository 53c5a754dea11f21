"""Weights changed in place: W' = W + Q diag(s - 1) Qᵀ W on the short side, computed in float64 and rounded once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from t2_engines import svf
from t2_engines.layout import Layout, Target
from t2_engines.torch_engine.model import decoder_matrices

#: Where a changed model says so.
_MARK = "_t2_applied"


class ApplyError(Exception):
    """Vectors that do not fit a model. The model is as it was."""


class HasPath(Protocol):
    """A mixture of t2client, whose file is held open."""

    @property
    def path(self) -> str: ...


@dataclass(frozen=True)
class _Vectors:
    """p of each matrix, in float64, and what the file says that they mean."""

    values: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    source: str

    def multipliers(self) -> dict[str, Tensor]:
        space = self.metadata.get("t2.param_space", "multiplier")
        if space == "multiplier":
            return dict(self.values)
        if space == "logit":
            limit = float(self.metadata.get("t2.max_mult", "1"))
            return {name: limit * torch.sigmoid(values) for name, values in self.values.items()}
        raise ApplyError(f"{self.source}: t2.param_space is '{space}'; multiplier or logit")

    @property
    def keeps_nuclear_norm(self) -> bool:
        rescale = self.metadata.get("t2.rescale", "none")
        if rescale not in ("none", "nuclear"):
            raise ApplyError(f"{self.source}: t2.rescale is '{rescale}'; none or nuclear")
        return rescale == "nuclear"


class Applied:
    """A model whose weights are changed. `undo` gives them back to the bit; so does leaving a `with`."""

    def __init__(self, model: nn.Module, originals: dict[str, tuple[Tensor, Tensor]]) -> None:
        self._model = model
        self._originals = originals
        #: The names of the matrices that were changed.
        self.matrices: tuple[str, ...] = tuple(originals)

    def undo(self) -> None:
        """Puts the weights back. Without effect where that was done."""
        with torch.no_grad():
            for weight, original in self._originals.values():
                weight.copy_(original)
        if self._originals:
            delattr(self._model, _MARK)
        self._originals = {}

    def __enter__(self) -> Applied:
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def apply(
    model: nn.Module,
    vectors: str | os.PathLike[str] | HasPath | Mapping[str, Any],
    *,
    digest: str | None = None,
    check_digest: bool = True,
) -> Applied:
    """Changes the weights of a causal language model of transformers as vectors say, until `undo`.

    `vectors`: a file of t2-expert(5), a mixture of `t2client`, or multipliers by the names of the matrices. A matrix that is
    not named stays as it is. `digest`: the digest of the base model that the vectors are for; default what the file says, and
    none with a mapping. It is compared with the model's, whose weights must be in the type in which they are stored
    (`dtype="auto"`) for that; where they are not, or another base is meant, `check_digest=False` goes by names and lengths.

    Needs memory for a copy of the matrices that change, and time for their factorization. Raises ApplyError, with the model
    unchanged.
    """
    if hasattr(model, _MARK):
        raise ApplyError("the model is changed already; undo that first, since changes do not add up")
    found = _read(vectors)
    weights = dict(decoder_matrices(model))
    prefix = getattr(model, "base_model_prefix", "") + "."
    names = {name.removeprefix(prefix): name for name in weights} | {name: name for name in weights}
    multipliers = found.multipliers()
    _check(found, multipliers, names, weights)
    wanted = digest or found.metadata.get("t2.base.digest")
    if check_digest and wanted is not None:
        _check_digest(wanted, weights, prefix, found.source)
    originals: dict[str, tuple[Tensor, Tensor]] = {}
    applied = Applied(model, originals)
    setattr(model, _MARK, True)
    try:
        with torch.no_grad():
            for name, s in multipliers.items():
                weight = weights[names[name]]
                changed = _changed(weight, s.to(weight.device), found.keeps_nuclear_norm, name)
                originals[name] = (weight, weight.detach().clone())
                weight.copy_(changed)
    except BaseException:
        applied.undo()
        if hasattr(model, _MARK):
            delattr(model, _MARK)
        raise
    applied.matrices = tuple(originals)
    return applied


def _read(vectors: str | os.PathLike[str] | HasPath | Mapping[str, Any]) -> _Vectors:
    path: Any = getattr(vectors, "path", vectors)  # a mixture of t2client is a mapping too, and has a path
    if isinstance(path, Mapping):
        values = {str(name): torch.as_tensor(numbers).to(torch.float64) for name, numbers in path.items()}
        return _Vectors(values, {}, "the vectors")
    source = f"'{os.fspath(path)}'"
    try:
        with safe_open(Path(path), framework="pt") as opened:
            metadata = opened.metadata() or {}
            values = {name: opened.get_tensor(name).to(torch.float64) for name in opened.keys()}
    except (OSError, SafetensorError) as error:
        raise ApplyError(f"{source} cannot be read as a file of vectors: {error}") from error
    return _Vectors(values, metadata, source)


def _check(
    found: _Vectors, multipliers: Mapping[str, Tensor], names: Mapping[str, str], weights: Mapping[str, Tensor]
) -> None:
    if not multipliers:
        raise ApplyError(f"{found.source} has no vectors")
    unknown = sorted(set(multipliers) - set(names))
    if unknown:
        example = next(iter(names), "none")
        raise ApplyError(
            f"{found.source} has '{unknown[0]}', and the model has no such matrix (it has '{example}'); is it of another model?"
        )
    for name, s in multipliers.items():
        rank = min(weights[names[name]].shape)
        if s.shape != (rank,):
            raise ApplyError(
                f"{found.source}: '{name}' is of shape {list(s.shape)}; its matrix has {rank} singular values"
            )
        if not bool((s.abs() <= 10).all()):  # NaN is not
            raise ApplyError(f"{found.source}: '{name}' has a multiplier that is not finite, or above 10 in magnitude")


def _check_digest(wanted: str, weights: Mapping[str, Tensor], prefix: str, source: str) -> None:
    wanted = "sha256:" + wanted.removeprefix("sha256:")
    plain = {name.removeprefix(prefix): weight for name, weight in weights.items()}
    # Checkpoints of some families have their names without the prefix of the base model.
    digests = [_digest(weights.items()), *([_digest(plain.items())] if plain.keys() != weights.keys() else [])]
    if wanted not in digests:
        raise ApplyError(
            f"{source} is of the base model {wanted}, and this one is {digests[0]}; load the base with dtype='auto', "
            "or go by names and lengths with check_digest=False"
        )


def _digest(weights: Iterable[tuple[str, Tensor]]) -> str:
    by_name = dict(weights)
    layout = Layout.of(Target(name, *weight.shape) for name, weight in by_name.items())
    return svf.model_digest(layout, lambda target: by_name[target.name].detach())


def _changed(weight: Tensor, s: Tensor, keeps_nuclear_norm: bool, name: str) -> Tensor:
    factor = svf.factorize(weight.detach())
    wide = weight.detach().to(torch.float64)
    if keeps_nuclear_norm:
        changed = (factor.sigma * s).sum()
        if changed < 1e-6 * factor.sigma.sum():
            raise ApplyError(f"'{name}': the multipliers leave nothing of the matrix, which cannot be rescaled")
        s = s * factor.sigma.sum() / changed
    q = factor.q.to(torch.float64)
    if weight.shape[0] <= weight.shape[1]:
        return wide + (q * (s - 1)) @ (q.T @ wide)
    return wide + ((wide @ q) * (s - 1)) @ q.T
