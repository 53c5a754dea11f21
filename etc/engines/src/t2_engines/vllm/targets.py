"""The targets of a model that vLLM serves, from its checkpoint's names; and the settings that reach every worker.

vLLM fuses q, k and v, and gate and up, into one layer each. Targets are the checkpoint's own matrices. A model whose checkpoint
fuses them itself (Phi-3) has the fused ones as targets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from t2_engines.checkpoint import Checkpoint, CheckpointError
from t2_engines.layout import Layout, Target

#: What `--lora-target-modules` must name, and no more: with the output matrix under LoRA, log-probabilities of prompts in a
#: batch of several adapters end vLLM 0.32 for good.
LORA_MODULES = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")

#: The checkpoint's parts of each fused layer, in the order of the layer's rows.
FUSED: Mapping[str, tuple[str, ...]] = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "o_proj": ("o_proj",),
    "down_proj": ("down_proj",),
}
_PARTS = sorted({part for parts in FUSED.values() for part in parts} | set(FUSED))
_TARGET = re.compile(rf"(?:.+\.)?layers\.\d+\.\w+\.(?:{'|'.join(_PARTS)})\.weight")

WorkForm = Literal["added", "factored"]


def layout_of(checkpoint: Checkpoint) -> Layout:
    """The targets of a checkpoint. Raises CheckpointError where it has none."""
    found = [
        Target(name, stored.shape[0], stored.shape[1])
        for name, stored in checkpoint.tensors.items()
        if _TARGET.fullmatch(name) and len(stored.shape) == 2
    ]
    if not found:
        raise CheckpointError(
            f"'{checkpoint.directory}' has no matrices of the names that vLLM's layers have "
            f"(layers.N.MODULE.{{{','.join(_PARTS)}}}.weight); serve it with t2-torch"
        )
    return Layout.of(found)


@dataclass(frozen=True)
class Settings:
    """What t2-vllm tells the workers and the plugin, in `--additional-config`: it reaches every process and host of vLLM, and
    is part of the key under which vLLM keeps compiled graphs, so that a graph without our layers is never taken for one with
    them.
    """

    version: str
    #: The directory of the model.
    model: str
    #: t2d's digest of the model.
    digest: str
    #: The directory of the factorizations.
    factors: str
    form: WorkForm
    #: The directory for the files of mixtures; private to this engine.
    mixtures: str
    #: What the files of mixtures may take there.
    mixture_bytes: int

    def as_config(self) -> dict[str, Any]:
        return {"t2": asdict(self)}

    @classmethod
    def of(cls, vllm_config: Any) -> Settings:
        """The settings of a running vLLM. Raises ValueError where it was not started by t2-vllm of this version."""
        from t2_engines.version import VERSION

        config = vllm_config.additional_config
        found = config.get("t2") if isinstance(config, dict) else None
        if not isinstance(found, dict):
            raise ValueError("vLLM was started without the settings of t2-engines; start it with: t2-vllm serve MODEL")
        if found.get("version") != VERSION:
            raise ValueError(
                f"vLLM was started by t2-engines {found.get('version')}, and what it imports is {VERSION}; "
                "start it again, with one installation of t2-engines"
            )
        return cls(**found)

    @property
    def directory(self) -> Path:
        return Path(self.model)
