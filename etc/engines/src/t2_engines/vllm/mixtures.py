"""The mixtures that this engine holds: a file and an adapter of vLLM for each, the least recently used forgotten first.

A mixture that a request computes with is never forgotten: vLLM may read its file again in the middle, and a file that is gone
then would end the engine. Files lie in a directory that nobody else writes to, emptied when the engine starts.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2_engines.layout import Layout, Multipliers
from t2_engines.vllm import adapters
from t2_engines.vllm.binding import Binding
from t2_engines.wire import EngineError, unknown_mixture

#: vLLM counts the adapters that clients name from 1; ours begin where those never come to.
FIRST_NUMBER = 1 << 30


@dataclass
class Held:
    """A mixture that is held. `request` is vLLM's own name for it."""

    digest: str
    number: int
    directory: Path
    bytes: int
    request: Any
    users: int = 0


class Mixtures:
    """For one event loop. Calls of vLLM are given: `add` loads an adapter into its workers, `remove` forgets it there."""

    def __init__(
        self,
        directory: Path,
        layout: Layout,
        base_digest: str,
        binding: Binding,
        add: Callable[[Any], Awaitable[None]],
        remove: Callable[[int], Awaitable[None]],
        *,
        most: int,
        most_bytes: int,
    ) -> None:
        self.directory = directory
        self.layout = layout
        self.base_digest = base_digest
        self.most = most
        self.most_bytes = most_bytes
        self._binding = binding
        self._add = add
        self._remove = remove
        self._held: OrderedDict[str, Held] = OrderedDict()
        #: Deleted while in use: forgotten when they are not any more, or held again.
        self._leaving: dict[str, Held] = {}
        self._next = FIRST_NUMBER
        self._changing = asyncio.Lock()

    def empty_directory(self) -> None:
        """Makes the directory, private, and removes what an engine before has left there. Blocks."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for left in self.directory.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()

    @property
    def digests(self) -> list[str]:
        return list(self._held)

    async def put(self, digest: str, multipliers: Multipliers) -> Held:
        """Holds a mixture, whose digest is that of its numbers."""
        async with self._changing:
            if (found := self._held.get(digest) or self._leaving.pop(digest, None)) is not None:
                self._held[digest] = found
                self._held.move_to_end(digest)
                return found
            await self._make_room(adapters.size_of(self.layout))
            directory = self.directory / digest.removeprefix("sha256:")
            try:
                size = await asyncio.to_thread(
                    adapters.write, directory, self.layout, multipliers, digest, self.base_digest
                )
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise EngineError(
                        "disk_full",
                        f"cannot write mixture {digest} to '{directory}': {error.strerror}; free some space there, "
                        f"or start t2-vllm with another --runtime",
                    ) from error
                raise EngineError("internal", f"cannot write mixture {digest} to '{directory}': {error}") from error
            number, self._next = self._next, self._next + 1
            held = Held(digest, number, directory, size, self._binding.adapter(digest, number, str(directory)))
            try:
                await self._add(held.request)
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise
            self._held[digest] = held
            return held

    async def delete(self, digest: str) -> None:
        """Forgets a mixture; one that is in use, when it is not any more."""
        async with self._changing:
            if (held := self._held.pop(digest, None)) is None:
                return
            if held.users:
                self._leaving[digest] = held
            else:
                await self._forget(held)

    @asynccontextmanager
    async def using(self, digests: Sequence[str]) -> AsyncIterator[list[Held]]:
        """Keeps mixtures while they are computed with. Raises `unknown_mixture` for the first that is not held."""
        used: list[Held] = []
        for digest in digests:
            held = self._held.get(digest)
            if held is None:
                raise unknown_mixture(digest)
            used.append(held)
        for held in used:
            held.users += 1
            self._held.move_to_end(held.digest)
        try:
            yield used
        finally:
            for held in used:
                held.users -= 1
                if held.users == 0 and held.digest in self._leaving:
                    await asyncio.shield(self._left(held))

    async def _left(self, held: Held) -> None:
        async with self._changing:
            if held.users == 0 and self._leaving.get(held.digest) is held:
                del self._leaving[held.digest]
                await self._forget(held)

    async def _make_room(self, size: int) -> None:
        if size > self.most_bytes:
            raise EngineError(
                "disk_full",
                f"a mixture takes {size} bytes, and t2-vllm may take {self.most_bytes} in all; start it with a "
                f"larger --mixture-bytes",
            )
        while len(self._held) >= self.most or sum(held.bytes for held in self._held.values()) + size > self.most_bytes:
            unused = next((held for held in self._held.values() if held.users == 0), None)
            if unused is None:
                raise EngineError(
                    "overloaded",
                    f"all {len(self._held)} mixtures that this engine may hold are in use; try again when a request has ended",
                )
            del self._held[unused.digest]
            await self._forget(unused)

    async def _forget(self, held: Held) -> None:
        try:
            await self._remove(held.number)
        finally:
            await asyncio.to_thread(shutil.rmtree, held.directory, True)
