"""A served mixture, and the multipliers in its file."""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

_LONGEST_HEADER = 100 << 20


class VectorsError(Exception):
    """A file that is none of multipliers."""


class Vectors(Mapping[str, "memoryview[float]"]):
    """The multipliers of each matrix by its name, the largest singular value's first, mapped and not copied.

    Each is a memoryview of float32: `numpy.asarray(view)` and `torch.frombuffer(view, dtype=torch.float32)` take it as it is.
    They are valid for as long as anything refers to them.
    """

    def __init__(self, descriptor: int) -> None:
        """Maps an open safetensors file, whose descriptor stays the caller's."""
        size = os.fstat(descriptor).st_size
        if size < 8:
            raise VectorsError(f"the file has {size} bytes, which is no safetensors file")
        mapped = memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))
        (length,) = struct.unpack("<Q", mapped[:8])
        if length > min(_LONGEST_HEADER, size - 8):
            raise VectorsError(f"the file says that its header has {length} bytes, and has {size} in all")
        try:
            header = json.loads(bytes(mapped[8 : 8 + length]))
        except ValueError as error:
            raise VectorsError(f"the file's header is no JSON: {error}") from error
        if not isinstance(header, dict):
            raise VectorsError("the file's header is no object")
        metadata = header.pop("__metadata__", {})
        #: The file's metadata, of which t2-expert(5) tells.
        self.metadata: dict[str, str] = metadata if isinstance(metadata, dict) else {}
        self._views = {name: _view(name, entry, mapped[8 + length :]) for name, entry in header.items()}

    def __getitem__(self, name: str) -> memoryview[float]:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


def _view(name: str, entry: Any, data: memoryview) -> memoryview[float]:
    try:
        type, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if type != "F32":
            raise VectorsError(f"'{name}' is {type}; t2d writes mixtures in F32")
        if not 0 <= start <= end <= len(data) or end - start != 4 * math.prod(shape):
            raise VectorsError(f"'{name}' lies outside of its file")
    except (KeyError, TypeError, ValueError) as error:
        raise VectorsError(f"'{name}' is not described as safetensors describes a tensor") from error
    if sys.byteorder != "little":
        raise VectorsError("the file's floats are little-endian, and this machine's are not")
    return data[start:end].cast("f")


class Mixture(Mapping[str, Any]):
    """What `mixture.get` answers, as a mapping, with the file of its multipliers held open.

    The content of the file never changes: a mixture that is served later is another one. Close it, or use it in a `with`.
    """

    def __init__(self, facts: dict[str, Any], descriptor: int) -> None:
        """Takes over the descriptor."""
        self.facts = facts
        self.descriptor = descriptor

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def __enter__(self) -> Mixture:
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Mixture({self.facts.get('task')!r} on {self.facts.get('model')!r}, generation {self.facts.get('generation')})"

    @property
    def path(self) -> str:
        """A path that opens the file in this process, for as long as it is open here."""
        return f"/proc/self/fd/{self.descriptor}"

    def vectors(self) -> Vectors:
        """The multipliers. They outlive the mixture."""
        return Vectors(self.descriptor)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
