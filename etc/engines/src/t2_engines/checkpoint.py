"""A Hugging Face directory as an engine reads it beside its framework: the stored matrices, and the files that t2d fetches.

Frameworks rename, fuse and convert parameters while they load. The digest of a model is over what its checkpoint has, so the
matrices of targets are read here, from the safetensors files themselves. Nothing is downloaded, and nothing of the
directory is executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

#: The files that t2d asks an engine for, where there are such.
FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
#: What is larger is no file of this kind, and is left out with a warning.
LARGEST_FILE = 64 << 20

_FLOATS = {"F64", "F32", "F16", "BF16"}


class CheckpointError(Exception):
    """A directory that cannot be served, worded for who started the engine."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of the checkpoint: the file that has it, its shape and safetensors' name of its type."""

    file: Path
    shape: tuple[int, ...]
    type: str


class Checkpoint:
    """The tensors of a directory by name. Reads the headers when made, the values when asked; for any thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tensors: dict[str, Stored] = {}
        for file in _weight_files(directory):
            try:
                with safe_open(file, framework="pt") as opened:
                    for name in opened.keys():
                        if name in self.tensors:
                            raise CheckpointError(
                                f"'{name}' stands in both '{self.tensors[name].file}' and '{file}'; remove one of them"
                            )
                        view = opened.get_slice(name)
                        self.tensors[name] = Stored(file, tuple(view.get_shape()), str(view.get_dtype()))
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"cannot read the weights in '{file}': {error}") from error

    def matrix(self, name: str) -> torch.Tensor:
        """A matrix widened to float32, which is exact for halves. float64 is refused: t2d would round it."""
        stored = self.tensors[name]
        if stored.type not in _FLOATS or stored.type == "F64" or len(stored.shape) != 2:
            raise CheckpointError(
                f"'{name}' in '{stored.file}' is {stored.type} of shape {list(stored.shape)}; an engine needs a matrix in F32, "
                "F16 or BF16: serve the checkpoint that this one was quantised or converted from"
            )
        with safe_open(stored.file, framework="pt") as opened:
            values: torch.Tensor = opened.get_tensor(name)
        return values.to(torch.float32)

    def end_ids(self) -> list[int]:
        """The end-of-sequence ids of config.json and generation_config.json, in order and without repeats."""
        found: list[int] = []
        for name in ("config.json", "generation_config.json"):
            ids = read_json(self.directory / name).get("eos_token_id")
            for token in ids if isinstance(ids, list) else [ids]:
                if isinstance(token, int) and token not in found:
                    found.append(token)
        return found


@dataclass(frozen=True, slots=True)
class ServedFile:
    """One of FILES as it was when the engine started."""

    path: Path
    size: int
    digest: str

    def read(self) -> bytes:
        """Its bytes, which must still be those that its digest is of."""
        content = self.path.read_bytes()
        if _digest(content) != self.digest:
            raise CheckpointError(f"'{self.path}' has changed since the engine started; start the engine anew")
        return content


def served_files(directory: Path) -> tuple[dict[str, ServedFile], list[str]]:
    """Those of FILES that a directory has, and warnings about any that is left out."""
    found: dict[str, ServedFile] = {}
    warnings: list[str] = []
    for name in FILES:
        path = directory / name
        if not path.is_file():
            continue
        size = path.stat().st_size
        if size > LARGEST_FILE:
            warnings.append(f"'{path}' has {size} bytes, above {LARGEST_FILE}: it is not given to t2d")
            continue
        content = path.read_bytes()
        found[name] = ServedFile(path, len(content), _digest(content))
    return found, warnings


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object; an empty one where there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read '{path}': {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"'{path}' is no JSON object")
    return content


def _weight_files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise CheckpointError(
            f"'{directory}' is no directory; an engine serves a Hugging Face directory with config.json and *.safetensors"
        )
    if not (directory / "config.json").is_file():
        raise CheckpointError(f"'{directory}' has no config.json; an engine serves a Hugging Face directory")
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise CheckpointError(f"'{index}' has no weight_map")
        found = sorted({directory / name for name in names.values()})
        for file in found:
            if file.parent != directory or not file.is_file():
                raise CheckpointError(
                    f"'{index}' names '{file.name}', which is not in '{directory}'; is the download complete?"
                )
        return found
    if (directory / "model.safetensors").is_file():
        return [directory / "model.safetensors"]
    found = sorted(directory.glob("*.safetensors"))
    if not found:
        raise CheckpointError(
            f"'{directory}' has no *.safetensors; convert other weights with transformers: "
            "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW)"
        )
    return found
