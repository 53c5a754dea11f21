"""The target matrices of a model in t2d's order, and where the multipliers of each stand in a flat vector.

A target W (rows, columns) has r = min(rows, columns) multipliers, the largest singular value first. All multipliers of a
model are one float32 vector, matrix after matrix in the order of the layout: layer by layer, within a layer q, k, v, o, gate,
up, down where the model has them, others behind these in the order of the model's own modules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

#: Multipliers, flat, in the order of a layout.
Multipliers = npt.NDArray[np.float32]

#: The place of a projection within its layer, by the last part of its module's name; fused ones stand where their first part
#: would. Others come behind.
_PLACES: Mapping[str, int] = {
    "q_proj": 0,
    "qkv_proj": 0,
    "k_proj": 1,
    "v_proj": 2,
    "o_proj": 3,
    "gate_proj": 4,
    "gate_up_proj": 4,
    "up_proj": 5,
    "down_proj": 6,
}
_OTHERS = 7


@dataclass(frozen=True, slots=True)
class Target:
    """A matrix whose singular values are multiplied, named and oriented as the checkpoint has it."""

    name: str
    rows: int
    columns: int

    @property
    def rank(self) -> int:
        return min(self.rows, self.columns)

    @property
    def is_left(self) -> bool:
        """Whether the short side is that of the rows: then W' = Q diag(s) Qᵀ W, else W' = W Q diag(s) Qᵀ."""
        return self.rows <= self.columns

    @property
    def layer(self) -> int:
        """The first part of the name that is a number; -1 where there is none."""
        return next((int(part) for part in self.name.split(".") if part.isascii() and part.isdigit()), -1)

    @property
    def _place(self) -> int:
        parts = self.name.split(".")
        module = parts[-2] if len(parts) > 1 and parts[-1] == "weight" else parts[-1]
        return _PLACES.get(module, _OTHERS)


@dataclass(frozen=True)
class Layout:
    """The targets in order; immutable, shared between threads."""

    targets: tuple[Target, ...]

    @classmethod
    def of(cls, targets: Iterable[Target]) -> Layout:
        """Sorts targets that come in the order of the model's modules."""
        found = tuple(sorted(targets, key=lambda target: (target.layer, target._place)))
        names = [target.name for target in found]
        if len(set(names)) != len(names):
            raise ValueError(f"two targets have one name: {sorted(n for n in set(names) if names.count(n) > 1)}")
        return cls(found)

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def count(self) -> int:
        """How many numbers a multiplier vector has."""
        return sum(target.rank for target in self.targets)

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Where the multipliers of each target stand, by its name."""
        found: dict[str, slice] = {}
        start = 0
        for target in self.targets:
            found[target.name] = slice(start, start + target.rank)
            start += target.rank
        return found

    def mixture_digest(self, multipliers: Multipliers) -> str:
        """The digest that names a mixture: over the targets in order, each as `NAME \\0` and its multipliers."""
        if multipliers.shape != (self.count,):
            raise ValueError(f"a vector has {self.count} multipliers; these are of shape {multipliers.shape}")
        numbers = np.ascontiguousarray(multipliers, dtype="<f4")
        sha = hashlib.sha256()
        for name, place in self.slices.items():
            sha.update(name.encode() + b"\0")
            sha.update(numbers[place].tobytes())
        return "sha256:" + sha.hexdigest()
