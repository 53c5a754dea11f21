"""What of vLLM is replaced, and which versions of it that fits.

vLLM has no interface for a layer whose product depends on the request, so five of its functions are wrapped. That is right only
for the text of them that was read: of each version that is supported, the SHA-256 of what is replaced and of what we rely on is
kept, and any other vLLM is refused by name.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

#: Functions that are replaced, or whose behaviour the replacements take for granted.
RELIED_UPON = (
    "vllm.lora.layers.base_linear:BaseLinearLayerWithLoRA._apply_sync",
    "vllm.lora.layers.base_linear:BaseLinearLayerWithLoRA.apply",
    "vllm.lora.layers.column_parallel_linear:MergedColumnParallelLinearWithLoRA.apply",
    "vllm.lora.layers.column_parallel_linear:ColumnParallelLinearWithLoRA.forward",
    "vllm.lora.layers.row_parallel_linear:RowParallelLinearWithLoRA.forward",
    "vllm.lora.worker_manager:LRUCacheWorkerLoRAManager.add_adapter",
    "vllm.lora.worker_manager:LRUCacheWorkerLoRAManager._apply_adapters",
    "vllm.lora.worker_manager:WorkerLoRAManager._load_adapter",
    "vllm.lora.model_manager:LoRAModelManager.activate_adapter",
    "vllm.lora.model_manager:LRUCacheLoRAModelManager.activate_adapter",
    "vllm.lora.model_manager:LoRAModelManager.set_adapter_mapping",
    "vllm.lora.model_manager:LoRAModelManager._set_adapter_mapping",
    "vllm.lora.punica_wrapper.punica_base:PunicaWrapperBase._update_base_metadata",
    "vllm.v1.worker.lora_model_runner_mixin:LoRAModelRunnerMixin.load_lora_model",
)

#: SHA-256, cut to 16 digits, of the functions' sources in each supported version.
SUPPORTED: Mapping[str, Mapping[str, str]] = {
    "0.32.0": {
        "vllm.lora.layers.base_linear:BaseLinearLayerWithLoRA._apply_sync": "0aa325824c187d76",
        "vllm.lora.layers.base_linear:BaseLinearLayerWithLoRA.apply": "f46a4c52e135b652",
        "vllm.lora.layers.column_parallel_linear:MergedColumnParallelLinearWithLoRA.apply": "86efdd93c279d98d",
        "vllm.lora.layers.column_parallel_linear:ColumnParallelLinearWithLoRA.forward": "8384ac3c13391a0b",
        "vllm.lora.layers.row_parallel_linear:RowParallelLinearWithLoRA.forward": "8ad5c46718cee7c1",
        "vllm.lora.worker_manager:LRUCacheWorkerLoRAManager.add_adapter": "ced930bd3f9d6a97",
        "vllm.lora.worker_manager:LRUCacheWorkerLoRAManager._apply_adapters": "f06c2357bb318eda",
        "vllm.lora.worker_manager:WorkerLoRAManager._load_adapter": "e05648e184ddc4f7",
        "vllm.lora.model_manager:LoRAModelManager.activate_adapter": "0661f9e08a07fe15",
        "vllm.lora.model_manager:LRUCacheLoRAModelManager.activate_adapter": "d1b81b771adb0a60",
        "vllm.lora.model_manager:LoRAModelManager.set_adapter_mapping": "fc14134c10e98bb3",
        "vllm.lora.model_manager:LoRAModelManager._set_adapter_mapping": "6ae4384167f2dee5",
        "vllm.lora.punica_wrapper.punica_base:PunicaWrapperBase._update_base_metadata": "e0c8bab8013a624b",
        "vllm.v1.worker.lora_model_runner_mixin:LoRAModelRunnerMixin.load_lora_model": "dbd70775ffc57fc6",
    },
}


class UnsupportedVLLM(Exception):
    """This vLLM is not one that the patches were written for."""


def version() -> str:
    """vLLM's version without the suffix of its build."""
    import vllm

    return str(vllm.__version__).partition("+")[0]


def check() -> None:
    """Raises UnsupportedVLLM, which says what differs, where the patches do not fit."""
    found = version()
    expected = SUPPORTED.get(found)
    supported = ", ".join(SUPPORTED)
    if expected is None:
        raise UnsupportedVLLM(
            f"t2-engines patches vLLM {supported}, and this is {found}; install a supported one, or add this version to "
            "t2_engines/vllm/patches.py once its tests pass"
        )
    different = [name for name in RELIED_UPON if digest(name) != expected.get(name)]
    if different:
        raise UnsupportedVLLM(
            f"this vLLM calls itself {found}, but {', '.join(different)} is not what t2-engines was written for; "
            "is it a changed build? Install the released one"
        )


def digest(name: str) -> str:
    """The digest of the source of `module:Class.function`; of nothing where it is not there."""
    try:
        return hashlib.sha256(inspect.getsource(_function(name)).encode()).hexdigest()[:16]
    except (ImportError, AttributeError, OSError, TypeError):
        return "absent"


def _function(name: str) -> Callable[..., Any]:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = inspect.getattr_static(found, part)
    function: Callable[..., Any] = found
    return function


def on_lora_model(armed: Callable[[Any, Any, Any], None]) -> None:
    """Has `armed(runner, vllm_config, device)` called when a worker's model has got its LoRA layers: before memory is profiled,
    and before anything is compiled or recorded in a CUDA graph. Once for a process."""
    from vllm.v1.worker.lora_model_runner_mixin import LoRAModelRunnerMixin

    original = LoRAModelRunnerMixin.load_lora_model
    if hasattr(original, "__wrapped__"):
        return

    def load_lora_model(self: Any, model: Any, vllm_config: Any, device: Any) -> Any:
        loaded = original(self, model, vllm_config, device)
        armed(self, vllm_config, device)
        return loaded

    setattr(load_lora_model, "__wrapped__", original)  # noqa: B010
    LoRAModelRunnerMixin.load_lora_model = load_lora_model


def replace_products() -> None:
    """Makes vLLM's LoRA layers that have a number compute by `layers.run`; all others are as they were."""
    from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA

    from t2_engines.vllm import layers

    original = BaseLinearLayerWithLoRA._apply_sync
    if hasattr(original, "__wrapped__"):
        return

    def _apply_sync(self: Any, x: Any, bias: Any = None) -> Any:
        if self.t2_number < 0:
            return original(self, x, bias)
        return layers.run(x, bias, self.t2_number, self.t2_rows)

    setattr(_apply_sync, "__wrapped__", original)  # noqa: B010
    BaseLinearLayerWithLoRA.t2_number = -1
    BaseLinearLayerWithLoRA.t2_rows = 0
    BaseLinearLayerWithLoRA._apply_sync = _apply_sync
