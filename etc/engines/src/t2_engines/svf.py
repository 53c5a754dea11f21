"""Factorizations of target matrices, and their cache on disk.

Of W = U diag(σ) Vᵀ only the singular vectors of the short side are needed, Q = U (rows, rows) where rows <= columns, else Q = V
(columns, columns):

    left   W' = W + Q diag(s - 1) Qᵀ W        y = W x,  y += Q ((s - 1) ⊙ (Qᵀ y))
    right  W' = W + W Q diag(s - 1) Qᵀ        x += Q ((s - 1) ⊙ (Qᵀ x)),  y = W x

Q and σ² are the eigensystem of the short side's Gram matrix, both in float64, σ descending: the arithmetic of t2d's own
factorization. Where singular values are equal any orthonormal basis gives the same W' only if their multipliers are equal too.

The cache is one safetensors file for each model, DIRECTORY/HEX.safetensors with HEX of the model's digest. It has `NAME.q` in
float32 and `NAME.sigma` in float64 of every target, and in its metadata SHA-256 of each tensor's bytes, which are compared
whenever it is read: a file that is not what was written is made anew.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from t2_engines.layout import Layout, Target

#: Gives the matrix of a target as the checkpoint has it, in float32.
LoadMatrix = Callable[[Target], torch.Tensor]
#: Is told how many of how many targets are done. What it raises ends the work.
Progress = Callable[[int, int], None]

_FORMAT = {"t2.format": "t2-factors", "t2.version": "1"}


@dataclass(frozen=True, slots=True)
class Factor:
    """Q (r, r) in float32, a column for each singular value, and σ (r) in float64, descending."""

    q: torch.Tensor
    sigma: torch.Tensor


class FactorCacheError(Exception):
    """The cache could not be written. `full` says whether for lack of room; `made` has the factors where they were computed."""

    def __init__(self, message: str, *, full: bool, made: dict[str, Factor] | None = None) -> None:
        super().__init__(message)
        self.full = full
        self.made = made


def factorize(matrix: torch.Tensor) -> Factor:
    """The factorization of one matrix, on the device where it lies."""
    wide = matrix.to(torch.float64)
    gram = wide @ wide.T if matrix.shape[0] <= matrix.shape[1] else wide.T @ wide
    squares, vectors = torch.linalg.eigh(gram)
    # Rounding leaves the smallest squares slightly below zero.
    return Factor(vectors.flip(1).to(torch.float32).contiguous(), squares.flip(0).clamp_min(0).sqrt().contiguous())


def model_digest(layout: Layout, load: LoadMatrix, progress: Progress | None = None) -> str:
    """t2d's digest of a model: over the targets by the bytes of their names, each as `NAME \\0 ROWSxCOLUMNS \\0` and its values
    as little-endian float32, row-major."""
    sha = hashlib.sha256()
    for done, target in enumerate(sorted(layout, key=lambda target: target.name.encode())):
        if progress is not None:
            progress(done, len(layout))
        sha.update(target.name.encode() + b"\0" + f"{target.rows}x{target.columns}".encode() + b"\0")
        sha.update(_little_endian(load(target).to(torch.float32)))
    return "sha256:" + sha.hexdigest()


def sigma_vector(layout: Layout, factors: Mapping[str, Factor]) -> npt.NDArray[np.float64]:
    """All singular values, flat in the order of a multiplier vector."""
    parts = [factors[target.name].sigma.cpu().numpy() for target in layout]
    return np.concatenate(parts) if parts else np.zeros(0)


class FactorCache:
    """The factorizations in a directory, which processes of one machine share: one makes them, the others wait for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        return self.directory / (digest.removeprefix("sha256:") + ".safetensors")

    def read(self, digest: str, layout: Layout) -> dict[str, Factor] | None:
        """The factors of a model, mapped from their file; None where there is no such file or it is not as it was written."""
        try:
            with safe_open(self.path(digest), framework="pt") as opened:
                metadata = opened.metadata() or {}
                if any(metadata.get(key) != value for key, value in (_FORMAT | {"t2.base.digest": digest}).items()):
                    return None
                sums = json.loads(metadata.get("t2.sums", "{}"))
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, ValueError):
            return None
        factors: dict[str, Factor] = {}
        for target in layout:
            q, sigma = tensors.get(target.name + ".q"), tensors.get(target.name + ".sigma")
            rank = target.rank
            if q is None or q.shape != (rank, rank) or q.dtype != torch.float32:
                return None
            if sigma is None or sigma.shape != (rank,) or sigma.dtype != torch.float64:
                return None
            factors[target.name] = Factor(q, sigma)
        if len(tensors) != 2 * len(factors) or _sums(tensors) != sums:
            return None
        return factors

    def read_or_make(
        self,
        digest: str,
        layout: Layout,
        load: LoadMatrix,
        progress: Progress | None = None,
        device: torch.device | str = "cpu",
    ) -> dict[str, Factor]:
        """The factors of a model from its file, or computed on a device and written there. Blocks while another process
        makes them. Raises FactorCacheError where the file cannot be written."""
        with self._locked(digest):
            found = self.read(digest, layout)
            if found is not None:
                return found
            made = compute(layout, load, progress, device)
            try:
                self._write(digest, made)
            except FactorCacheError as error:
                error.made = made
                raise
            # What is served is what was written, and the pages of the file are shared.
            found = self.read(digest, layout)
            if found is None:
                raise FactorCacheError(
                    f"'{self.path(digest)}' was written and reads back otherwise; is the disk sound?", full=False
                )
            return found

    def _write(self, digest: str, factors: Mapping[str, Factor]) -> None:
        tensors = {name + ".q": factor.q for name, factor in factors.items()}
        tensors |= {name + ".sigma": factor.sigma for name, factor in factors.items()}
        metadata = _FORMAT | {"t2.base.digest": digest, "t2.sums": json.dumps(_sums(tensors))}
        path = self.path(digest)
        # Whoever holds the lock is the only writer: what lies there is of a process that died.
        for left in self.directory.glob(path.stem + ".*.part"):
            left.unlink(missing_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.part")
        try:
            save_file(tensors, temporary, metadata=metadata)
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.rename(temporary, path)
            directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            size = sum(tensor.nbytes for tensor in tensors.values())
            raise _cannot_write(path, error, f"; it needs {size} bytes") from error

    @contextmanager
    def _locked(self, digest: str) -> Iterator[None]:
        path = self.path(digest).with_suffix(".lock")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_write(path, error, "") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def compute(
    layout: Layout, load: LoadMatrix, progress: Progress | None = None, device: torch.device | str = "cpu"
) -> dict[str, Factor]:
    """The factors of every target by its name, in main memory; computed on a device."""
    factors: dict[str, Factor] = {}
    for done, target in enumerate(layout):
        if progress is not None:
            progress(done, len(layout))
        factor = factorize(load(target).to(device))
        factors[target.name] = Factor(factor.q.cpu(), factor.sigma.cpu())
    return factors


def _cannot_write(path: Path, error: Exception, needs: str) -> FactorCacheError:
    text = str(error)
    # safetensors words the system's error into its own.
    full = any(
        isinstance(error, OSError) and error.errno == number or f"os error {number}" in text
        for number in (errno.ENOSPC, errno.EDQUOT)
    )
    return FactorCacheError(
        f"cannot write the factorization to '{path}'{needs}: {text}; name another directory with --factors", full=full
    )


def _little_endian(values: torch.Tensor) -> memoryview:
    numbers = values.detach().cpu().contiguous().numpy().reshape(-1)
    return numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).data.cast("B")


def _sums(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    return {name: hashlib.sha256(_little_endian(tensors[name])).hexdigest() for name in sorted(tensors)}
