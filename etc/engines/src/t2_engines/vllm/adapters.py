"""A mixture as a directory that vLLM is given the path of: the two files of a PEFT adapter, which are no LoRA.

It is a container of rank 1. The multipliers s ride in that factor which tensor parallelism never cuts: in lora_B (rows, 1) of
matrices whose inputs are shared out among the ranks (o, down), in lora_A (1, columns) of the others; the other factor is zero.
Our extension reads the files itself, in float32 whatever the model's type. A vLLM without it takes the adapter for a LoRA
whose product is zero, and answers as the base: so nothing is loaded before every rank has said that it is armed.

`adapter_config.json` has a member `t2`: kind "svf-slot", the mixture's digest, and what the numbers are: "multipliers"
or, where it says nothing, s - 1. For s below 1/2 the second is rounded by up to 2^-25, and then has not the digest that
it was written for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from t2_engines.layout import Layout, Multipliers, Target

CONFIGURATION = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_ROW_PARALLEL = ("o_proj", "down_proj")
_KIND = "svf-slot"


class AdapterError(ValueError):
    """A directory that is no mixture for this model."""


def module_of(target: Target) -> str:
    """The path of a target's module: its name without `.weight`."""
    return target.name.removesuffix(".weight")


def write(directory: Path, layout: Layout, multipliers: Multipliers, digest: str, base_digest: str) -> int:
    """Writes a mixture into a directory that appears complete or not at all. Returns its bytes. Raises OSError."""
    tensors: dict[str, np.ndarray] = {}
    for target, place in zip(layout, layout.slices.values(), strict=True):
        a, b = np.zeros((1, target.columns), np.float32), np.zeros((target.rows, 1), np.float32)
        if module_of(target).rpartition(".")[2] in _ROW_PARALLEL:
            b[: target.rank, 0] = multipliers[place]
        else:
            a[0, : target.rank] = multipliers[place]
        key = "base_model.model." + module_of(target)
        tensors[key + ".lora_A.weight"], tensors[key + ".lora_B.weight"] = a, b
    configuration = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "",
        "r": 1,
        "lora_alpha": 1,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted({module_of(target).rpartition(".")[2] for target in layout}),
        "t2": {"kind": _KIND, "numbers": "multipliers", "digest": digest, "base_digest": base_digest},
    }
    part = directory.with_name(directory.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(mode=0o700)
        try:
            save_file(tensors, part / WEIGHTS)
        except SafetensorError as error:
            raise OSError(28 if "os error 28" in str(error) else 5, str(error), str(part / WEIGHTS)) from error
        (part / CONFIGURATION).write_text(json.dumps(configuration), encoding="utf-8")
        size = sum(file.stat().st_size for file in part.iterdir())
        os.rename(part, directory)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return size


def size_of(layout: Layout) -> int:
    """About how many bytes a mixture of this model takes on the disk."""
    return sum(4 * (target.rows + target.columns) + 300 for target in layout) + 4096


def read(directory: Path, layout: Layout) -> tuple[Multipliers, str]:
    """The multipliers of a mixture and their digest, formed anew. Raises AdapterError where they are not what they are said to
    be, or not this model's."""
    try:
        configuration = json.loads((directory / CONFIGURATION).read_text(encoding="utf-8"))
        about = configuration.get("t2") if isinstance(configuration, dict) else None
    except (OSError, ValueError) as error:
        raise AdapterError(f"cannot read '{directory / CONFIGURATION}': {error}") from error
    if not isinstance(about, dict) or about.get("kind") != _KIND:
        raise AdapterError(
            f"'{directory}' is no mixture of t2d (its {CONFIGURATION} has no t2.kind \"{_KIND}\"); this engine "
            "serves mixtures, not LoRA adapters: load it into a vLLM that was started without t2-vllm"
        )
    numbers = about.get("numbers", "s - 1")
    if numbers not in ("multipliers", "s - 1"):
        raise AdapterError(
            f"'{directory}' holds numbers of kind '{numbers}', which this version of t2-engines does not know"
        )
    try:
        tensors = load_file(directory / WEIGHTS)
    except (OSError, SafetensorError, ValueError) as error:
        raise AdapterError(f"cannot read '{directory / WEIGHTS}': {error}") from error
    carried: Callable[[np.ndarray], np.ndarray] = (
        (lambda v: v) if numbers == "multipliers" else (lambda v: np.float32(1) + v)
    )
    multipliers = np.concatenate([carried(_vector(directory, tensors, target)) for target in layout]).astype(np.float32)
    if left := len(tensors) - 2 * len(layout):
        raise AdapterError(
            f"'{directory}' has {left} tensors that are of no target of this model; was it written for another?"
        )
    if not np.isfinite(multipliers).all():
        raise AdapterError(f"'{directory}' has multipliers that are not finite")
    digest = layout.mixture_digest(multipliers)
    if about.get("digest") not in (None, digest):
        why = (
            "its numbers are s - 1, which rounds multipliers below 1/2: write multipliers"
            if numbers == "s - 1"
            else "was it changed?"
        )
        raise AdapterError(f"'{directory}' is said to be {about.get('digest')} and is {digest}; {why}")
    return multipliers, digest


def _vector(directory: Path, tensors: dict[str, np.ndarray], target: Target) -> np.ndarray:
    key = "base_model.model." + module_of(target)
    a, b = tensors.get(key + ".lora_A.weight"), tensors.get(key + ".lora_B.weight")
    if a is None or b is None:
        raise AdapterError(f"'{directory}' has no tensors of '{target.name}'; was it written for another model?")
    if a.shape != (1, target.columns) or b.shape != (target.rows, 1) or a.dtype != np.float32 or b.dtype != np.float32:
        raise AdapterError(
            f"'{directory}': '{target.name}' has factors {a.dtype} {list(a.shape)} and {b.dtype} {list(b.shape)}; "
            f"this model needs "
            f"float32 {[1, target.columns]} and {[target.rows, 1]}"
        )
    vector = b[:, 0] if module_of(target).rpartition(".")[2] in _ROW_PARALLEL else a[0]
    return vector[: target.rank]
