"""The part of t2-engines in each of vLLM's workers: `--worker-extension-cls t2_engines.vllm.extension.T2Extension`.

Imported before the model is loaded, it arms the worker once the model has its LoRA layers: it reads the factorization, makes
what `layers` needs of it for the slices of this rank, and replaces the layers' product. From then on an adapter is a
mixture: the hook on loading reads its multipliers in float32, the hook on activation writes them into the row of its
slot in every part's table and reads them back. What is read back is what the products read, and its digest is the
mixture's.

A worker that cannot be armed says why, and computes as vLLM does. The plugin then answers nothing.

All of it runs in the worker's one thread, between steps of the model. The methods of T2Extension are called by name through
vLLM's `collective_rpc`, take and give what its messages can carry, and bear a prefix since vLLM's worker class inherits them.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from t2_engines.checkpoint import Checkpoint
from t2_engines.layout import Layout, Multipliers, Target
from t2_engines.svf import Factor, FactorCache
from t2_engines.vllm import adapters, layers, patches
from t2_engines.vllm.layers import Form, Part, Share, SVFLinear, TokenRows
from t2_engines.vllm.targets import FUSED, Settings, layout_of

#: Below vLLM's own logger, whose handlers the messages so reach.
log = logging.getLogger("vllm.t2_engines")

#: Of how many adapters it is remembered what was read back of them.
_REMEMBERED = 8192
Probe = Literal["kernels", "base", "mixture"]
_PROBES: tuple[Probe, ...] = ("kernels", "base", "mixture")
#: What a layer may differ from its factorization, relative to its largest output, by the model's type: a few roundings.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 4e-2}


class ArmError(Exception):
    """Why a worker cannot be armed, and what would mend it."""


@dataclass
class Fused:
    """A fused layer of vLLM under LoRA, and its targets in the order of its rows."""

    name: str
    module: Any
    base: Any
    targets: list[Target]
    linear: SVFLinear | None = None


@dataclass
class Armed:
    """The state of an armed worker."""

    settings: Settings
    layout: Layout
    checkpoint: Checkpoint
    factors: dict[str, Factor]
    fused: list[Fused]
    tokens: TokenRows
    manager: Any
    wrapper: Any
    device: torch.device
    dtype: torch.dtype
    #: The parts in the order of the layout.
    parts: list[Part] = field(default_factory=list)
    #: By adapter, the digests read back of it each time it came into a slot, without repeats.
    read_back: OrderedDict[int, list[str]] = field(default_factory=OrderedDict)
    #: The digest and the multipliers of the mixture that the base's weights are changed to, or None.
    swapped: str | None = None
    swapped_multipliers: torch.Tensor | None = None

    def row(self, number: int) -> Multipliers:
        """A row of the tables as the products read it: all multipliers, flat in the order of the layout."""
        numbers: Multipliers = torch.cat([part.table[number] for part in self.parts]).cpu().numpy()
        return numbers

    def write_row(self, number: int, multipliers: torch.Tensor) -> None:
        for part, place in zip(self.parts, self.layout.slices.values(), strict=True):
            part.table[number].copy_(multipliers[place])

    def load(self, request: Any) -> Any:
        """In place of vLLM's loading of an adapter."""
        from vllm.lora.lora_model import LoRAModel
        from vllm.lora.lora_weights import LoRALayerWeights

        multipliers, _ = adapters.read(Path(request.lora_path), self.layout)
        # The manager wants at least one pair of factors. This one is of no module: vLLM's own buffers stay zero.
        nothing = LoRALayerWeights("t2", 1, 1, torch.zeros(1, 1, device="cpu"), torch.zeros(1, 1, device="cpu"))
        model = LoRAModel(request.lora_int_id, rank=1, loras={"t2": nothing})
        model.t2_multipliers = torch.from_numpy(multipliers)
        return model

    def activated(self, adapter: int) -> None:
        """An adapter has got a slot: puts its mixture there, and reads it back."""
        slot = self.manager.lora_index_to_id.index(adapter)
        multipliers = getattr(self.manager.get_adapter(adapter), "t2_multipliers", None)
        if multipliers is None:  # one of vLLM's own, which it warms up with
            self.write_row(slot, torch.ones(self.layout.count, dtype=torch.float32))
            return
        self.write_row(slot, multipliers)
        found = self.read_back.setdefault(adapter, [])
        digest = self.layout.mixture_digest(self.row(slot))
        if digest not in found:
            found.append(digest)
        self.read_back.move_to_end(adapter)
        while len(self.read_back) > _REMEMBERED:
            self.read_back.popitem(last=False)


def arm(runner: Any, vllm_config: Any, device: torch.device) -> None:
    """Arms a worker whose model has just got its LoRA layers, or leaves in it why that cannot be.

    All ranks are armed or none: layers of several ranks compute together, and one that does not would leave the others waiting
    for it. So whatever a rank finds, it comes to each point where they agree.
    """
    runner.t2_armed, runner.t2_why = None, None
    armed: Armed | None = None
    why: str | None = None
    try:
        armed = _prepared(runner, vllm_config, device)
    except Exception as error:
        why = _worded(error)
    why = _agreed(device, why)
    for how in _PROBES:
        if why is None and armed is not None:
            try:
                why = _probed(armed, how)
            except Exception as error:
                why = _worded(error)
            why = _agreed(device, why)
    if why is not None or armed is None:
        runner.t2_why = why
        log.error("t2-engines: this worker is not armed: %s", why)
        return
    # All is there on every rank: from here on nothing fails.
    patches.replace_products()
    for layer in armed.fused:
        assert layer.linear is not None
        layer.module.t2_rows = layer.linear.rows
        layer.module.t2_number = layers.register(layer.linear)
        if armed.settings.form == "factored":
            _let_go(layer)
    _hook(runner, armed)
    runner.t2_armed = armed
    log.info(
        "t2-engines: armed: %d targets in %d layers, %d slots", len(armed.layout), len(armed.fused), armed.tokens.slots
    )


def _worded(error: Exception) -> str:
    if isinstance(error, (ArmError, patches.UnsupportedVLLM, ValueError)):
        return str(error)
    log.exception("t2-engines: arming failed")
    return f"{type(error).__name__}: {error}"


def _agreed(device: torch.device, why: str | None) -> str | None:
    """Tells the other ranks whether this one goes on: why nobody does, or None."""
    from vllm.distributed import tensor_model_parallel_all_reduce

    trouble = torch.tensor([0.0 if why is None else 1.0], dtype=torch.float32, device=device)
    if float(tensor_model_parallel_all_reduce(trouble)) == 0:
        return None
    return why or "another rank cannot be armed; it says why"


def _probed(armed: Armed, how: Probe) -> str | None:
    worst, where = probe(armed, how)
    if worst <= _TOLERANCE[armed.dtype]:
        return None
    return (
        f"'{where}' of vLLM answers otherwise than the checkpoint in '{armed.settings.model}' (relative difference "
        f"{worst:.2g}); is the engine's model another one, or quantised? The factorization must be of what is served"
    )


def _prepared(runner: Any, vllm_config: Any, device: torch.device) -> Armed:
    """What an armed worker has, with nothing of vLLM changed yet."""
    patches.check()
    settings = Settings.of(vllm_config)
    _check_configuration(vllm_config, runner)
    checkpoint = Checkpoint(settings.directory)
    layout = layout_of(checkpoint)
    factors = FactorCache(Path(settings.factors)).read(settings.digest, layout)
    if factors is None:
        raise ArmError(
            f"there is no factorization of {settings.digest} in '{settings.factors}'; on each host of vLLM run: "
            f"t2-vllm prepare {settings.model} --factors {settings.factors}"
        )
    manager = runner.lora_manager._adapter_manager
    fused = _find(runner.model, layout)
    wrapper = next(iter(manager.punica_wrapper_mapping.values()))
    tokens = TokenRows(manager.lora_slots, wrapper._token_lora_indices.shape[0], device)
    # CPUs compile nothing with LoRA.
    eager = bool(vllm_config.model_config.enforce_eager) or device.type == "cpu"
    tokens.may_skip = eager and settings.form == "added"
    dtype = vllm_config.model_config.dtype
    armed = Armed(settings, layout, checkpoint, factors, fused, tokens, manager, wrapper, device, dtype)
    for layer in fused:
        layer.linear = _make(armed, layer)
    parts = {part.target.name: part for layer in fused for part in layer.linear.parts}  # type: ignore[union-attr]
    armed.parts = [parts[target.name] for target in layout]
    return armed


def _check_configuration(vllm_config: Any, runner: Any) -> None:
    lora = vllm_config.lora_config
    if lora.fully_sharded_loras:
        raise ArmError("vLLM was started with --fully-sharded-loras, which cuts the adapters; start it without")
    if vllm_config.parallel_config.pipeline_parallel_size > 1:
        raise ArmError(
            "vLLM was started with --pipeline-parallel-size above 1; spread the model by --tensor-parallel-size alone"
        )
    if type(getattr(runner.model, "logits_processor", None)).__name__ == "LogitsProcessorWithLoRA":
        raise ArmError("the output matrix is under LoRA; start vLLM with t2-vllm, which sets --lora-target-modules")
    if vllm_config.speculative_config is not None:
        raise ArmError("vLLM was started with speculative decoding, whose draft knows no mixtures; start it without")
    if vllm_config.model_config.dtype not in _TOLERANCE:
        raise ArmError(
            f"the model's type is {vllm_config.model_config.dtype}; float32, float16 and bfloat16 are supported"
        )
    from vllm import envs

    if envs.VLLM_LORA_ENABLE_DUAL_STREAM:
        raise ArmError("VLLM_LORA_ENABLE_DUAL_STREAM is set, which goes around the replaced product; unset it")


def _find(model: Any, layout: Layout) -> list[Fused]:
    """The layers under LoRA with their targets. Every target must be in one, and every one must be of targets."""
    from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA
    from vllm.model_executor.layers.linear import ColumnParallelLinear, RowParallelLinear

    by_name = {target.name: target for target in layout}
    found: list[Fused] = []
    for name, module in model.named_modules():
        if not isinstance(module, BaseLinearLayerWithLoRA):
            continue
        parent, _, last = name.rpartition(".")
        names = [f"{parent}.{part}.weight" for part in FUSED.get(last, (last,))]
        if f"{name}.weight" in by_name:
            names = [f"{name}.weight"]
        missing = [n for n in names if n not in by_name]
        if missing:
            raise ArmError(
                f"vLLM's layer '{name}' should hold {', '.join(missing)}, which the checkpoint has not under this "
                f"name; serve this model with t2-torch"
            )
        if type(module.base_layer).forward not in (ColumnParallelLinear.forward, RowParallelLinear.forward):
            raise ArmError(
                f"vLLM's layer '{name}' is a {type(module.base_layer).__name__} with a forward pass of its own, "
                f"which is not supported"
            )
        found.append(Fused(name, module, module.base_layer, [by_name.pop(n) for n in names]))
    if by_name:
        raise ArmError(
            f"{len(by_name)} targets are in no layer under LoRA, '{next(iter(by_name))}' first; was vLLM started "
            f"with other --lora-target-modules than t2-vllm sets?"
        )
    return found


def _make(armed: Armed, layer: Fused) -> SVFLinear:
    from vllm.model_executor.layers.linear import UnquantizedLinearMethod

    base = layer.base
    whole = base.tp_size == 1
    # On CPUs vLLM packs the weights and empties the parameter.
    readable = (
        isinstance(base.quant_method, UnquantizedLinearMethod) and base.weight.dim() == 2 and base.weight.numel() > 0
    )
    if (
        not whole
        and len(layer.targets) == 1
        and not _is_row_parallel(base)
        and layer.name.rpartition(".")[2] in ("qkv_proj", "gate_up_proj")
    ):
        raise ArmError(
            f"'{layer.targets[0].name}' is fused in the checkpoint itself, which tensor parallelism cannot cut here; "
            f"start with --tensor-parallel-size 1"
        )
    by_input = whole and readable and all(not target.is_left for target in layer.targets)

    def form(target: Target) -> Form:
        if armed.settings.form == "factored":
            return "factored"
        if whole and target.is_left:
            return "output"
        return "input" if by_input else "product"

    parts: list[Part] = []
    offset = 0
    for target in layer.targets:
        share = held(target, base)
        count = share.rows.stop - share.rows.start
        parts.append(
            layers.make_part(
                target,
                slice(offset, offset + count),
                form(target),
                armed.factors[target.name].q,
                lambda target=target: armed.checkpoint.matrix(target.name),  # type: ignore[misc]
                share,
                slots=armed.tokens.slots,
                device=armed.device,
                dtype=armed.dtype,
            )
        )
        offset += count
    return SVFLinear(
        layer.name,
        parts,
        armed.tokens,
        lambda x: base.quant_method.apply(base, x, None),
        (lambda: base.weight) if by_input else None,
    )


def held(target: Target, base: Any) -> Share:
    """What this rank's layer holds of a target."""
    from vllm.distributed import tensor_model_parallel_all_gather, tensor_model_parallel_all_reduce

    size, rank = base.tp_size, base.tp_rank
    rows, columns = slice(0, target.rows), slice(0, target.columns)
    if _is_row_parallel(base):
        columns = _cut(target.columns, size, rank)
    elif target.name.rpartition(".weight")[0].rpartition(".")[2] in ("k_proj", "v_proj"):
        # Where there are more ranks than heads of keys, some ranks hold the same ones.
        replicas = base.num_kv_head_replicas
        rows = _cut(target.rows, max(1, size // replicas), rank // replicas)
    else:
        rows = _cut(target.rows, size, rank)
    return Share(rows, columns, size, rank, tensor_model_parallel_all_gather, tensor_model_parallel_all_reduce)


def _cut(total: int, parts: int, index: int) -> slice:
    if total % parts:
        raise ArmError(
            f"{total} rows or columns cannot be shared out among {parts} ranks; choose another --tensor-parallel-size"
        )
    return slice(index * (total // parts), (index + 1) * (total // parts))


def _hook(runner: Any, armed: Armed) -> None:
    """Puts the hooks on this worker's manager of adapters."""
    worker_manager, manager = runner.lora_manager, armed.manager
    worker_manager._load_adapter = armed.load
    activate, map_tokens = manager.activate_adapter, manager._set_adapter_mapping

    def activate_adapter(adapter: int) -> bool:
        new: bool = activate(adapter)
        if new:
            armed.activated(adapter)
        return new

    def set_adapter_mapping(mapping: Any) -> None:
        map_tokens(mapping)
        armed.tokens.set(armed.wrapper.token_lora_indices, any(adapter > 0 for adapter in mapping.index_mapping))

    manager.activate_adapter = activate_adapter
    manager._set_adapter_mapping = set_adapter_mapping


def _let_go(layer: Fused) -> None:
    """Frees the weights of a layer that no longer needs them."""
    base = layer.base
    base.weight = torch.nn.Parameter(
        torch.empty(0, dtype=base.weight.dtype, device=base.weight.device), requires_grad=False
    )
    if hasattr(base, "cpu_linear"):
        base.cpu_linear = None  # holds the packed copy


@torch.no_grad()
def probe(armed: Armed, how: Probe) -> tuple[float, str]:
    """Sends fixed numbers through every layer and compares with what the checkpoint's matrices and the factorization say.
    Gives the worst difference, relative to a layer's largest output, and its layer. All ranks must do so together.

    Through vLLM's own kernels, which says whether they have the checkpoint's weights (or those of the mixture that was swapped
    in); through the layers without a mixture; or under a fixed mixture.
    """
    generator = torch.Generator(device="cpu").manual_seed(7)
    worst, where = 0.0, ""
    scale = armed.swapped_multipliers
    saved = armed.tokens.buffer[:4].clone(), armed.tokens.any_mixture
    armed.tokens.buffer[:4] = armed.tokens.slots
    if how == "mixture":
        scale = 1 + 0.5 * torch.randn(armed.layout.count, generator=generator, dtype=torch.float32, device="cpu")
        # In the row of tokens without a mixture: slots are each rank's own affair.
        armed.write_row(armed.tokens.slots, scale)
        armed.tokens.any_mixture = True
    else:
        armed.tokens.any_mixture = False
    try:
        for layer in armed.fused:
            assert layer.linear is not None
            columns = layer.targets[0].columns
            numbers = torch.randn(4, columns, generator=generator, dtype=torch.float32, device="cpu")
            whole = numbers.to(armed.device, armed.dtype)
            share = held(layer.targets[0], layer.base)
            x = whole[:, share.columns].contiguous()
            answered = layer.linear.base(x) if how == "kernels" else layer.linear(x, None)
            if _is_row_parallel(layer.base) and not share.is_whole:
                assert share.reduce is not None
                answered = share.reduce(answered)
            expected = torch.cat(
                [_expected(armed, layer, target, whole.double(), scale) for target in layer.targets], -1
            )
            difference = float((answered.double() - expected).abs().max() / expected.abs().max())
            if not difference <= worst:
                worst, where = difference, layer.name
    finally:
        armed.tokens.buffer[:4], armed.tokens.any_mixture = saved
        armed.write_row(armed.tokens.slots, torch.ones(armed.layout.count, dtype=torch.float32, device="cpu"))
    return worst, where


def _expected(
    armed: Armed, layer: Fused, target: Target, x: torch.Tensor, multipliers: torch.Tensor | None
) -> torch.Tensor:
    """What the rows of a target that are on this rank answer to x (4, columns), in float64."""
    w = armed.checkpoint.matrix(target.name).to(armed.device, torch.float64)
    if multipliers is None:
        y = x @ w.T
    else:
        q = armed.factors[target.name].q.to(armed.device, torch.float64)
        scale = multipliers[armed.layout.slices[target.name]].to(armed.device, torch.float64) - 1
        if target.is_left:
            y = x @ w.T
            y = y + ((y @ q) * scale) @ q.T
        else:
            y = (x + ((x @ q) * scale) @ q.T) @ w.T
    return y[:, held(target, layer.base).rows]


def _is_row_parallel(base: Any) -> bool:
    from vllm.model_executor.layers.linear import RowParallelLinear

    return isinstance(base, RowParallelLinear)


class T2Extension:
    """Injected into vLLM's worker class; `self` is the worker."""

    model_runner: Any
    rank: int

    def t2_state(self) -> dict[str, Any]:
        """Whether this rank is armed, and for what."""
        armed: Armed | None = getattr(self.model_runner, "t2_armed", None)
        if armed is None:
            why = getattr(self.model_runner, "t2_why", None)
            return {
                "rank": self.rank,
                "armed": False,
                "why": why or "LoRA is not enabled; start vLLM with: t2-vllm serve MODEL",
            }
        forms = [part.form for part in armed.parts]
        return {
            "rank": self.rank,
            "armed": True,
            "version": armed.settings.version,
            "digest": armed.settings.digest,
            "targets": len(armed.layout),
            "forms": {form: forms.count(form) for form in sorted(set(forms))},
            "factor_bytes": sum(part.bytes for part in armed.parts),
            "slots": armed.tokens.slots,
            "swapped": armed.swapped,
        }

    def t2_read_back(self, adapters_used: list[int]) -> dict[str, Any]:
        """Of each adapter every digest that was read back of it since it came, each time it got a slot; and now again,
        of those that are in a slot. Where more than one stands, or another than was asked for, something computed
        with it."""
        armed = self._t2_need()
        found: dict[str, list[str]] = {}
        slots = armed.manager.lora_index_to_id
        for adapter in adapters_used:
            digests = list(armed.read_back.get(adapter, []))
            if adapter in slots:
                now = armed.layout.mixture_digest(armed.row(slots.index(adapter)))
                if now not in digests:
                    digests.append(now)
            found[str(adapter)] = digests
        return {"rank": self.rank, "adapters": found}

    def t2_forget(self, adapter: int) -> None:
        """An adapter's number will not be used again."""
        self._t2_need().read_back.pop(adapter, None)

    def t2_slots(self) -> dict[str, Any]:
        """The digest of what is in each slot that has an adapter."""
        armed = self._t2_need()
        return {
            "rank": self.rank,
            "slots": {
                str(slot): {"adapter": adapter, "digest": armed.layout.mixture_digest(armed.row(slot))}
                for slot, adapter in enumerate(armed.manager.lora_index_to_id)
                if adapter is not None
            },
        }

    def t2_verify(self) -> dict[str, Any]:
        """The probe, as the base and, unless one is swapped in, under a mixture."""
        armed = self._t2_need()
        worst, where = probe(armed, "base")
        if armed.swapped is None:
            worst, where = max((worst, where), probe(armed, "mixture"))
        return {
            "rank": self.rank,
            "swapped": armed.swapped,
            "difference": worst,
            "layer": where,
            "tolerance": _TOLERANCE[armed.dtype],
        }

    def t2_swap(self, path: str | None) -> dict[str, Any]:
        """Changes the weights of the base to those of a mixture in a directory of `adapters`, or back. vLLM's requests must be
        paused, and its prefix cache emptied behind. Checks everything before it writes anything."""
        armed = self._t2_need()
        if armed.settings.form == "factored":
            raise ValueError(
                "vLLM runs in the factored form, which keeps no weights to swap; start t2-vllm without --form factored"
            )
        multipliers, digest = None, None
        if path is not None:
            numbers, digest = adapters.read(Path(path), armed.layout)
            multipliers = torch.from_numpy(numbers)
        armed.swapped = "unknown"
        for layer in armed.fused:
            _write_weights(armed, layer, multipliers)
        armed.swapped, armed.swapped_multipliers = digest, multipliers
        return {"rank": self.rank, "swapped": digest}

    def _t2_need(self) -> Armed:
        armed: Armed | None = getattr(self.model_runner, "t2_armed", None)
        if armed is None:
            raise RuntimeError("t2-engines: this rank is not armed")
        return armed


def _write_weights(armed: Armed, layer: Fused, multipliers: torch.Tensor | None) -> None:
    """Gives a layer the weights W' = W + Q diag(s - 1) Qᵀ W (W + W Q diag(s - 1) Qᵀ where rows > columns), or W again."""
    base = layer.base
    slices = []
    for target in layer.targets:
        w = armed.checkpoint.matrix(target.name).to(armed.device, torch.float64)
        if multipliers is not None:
            q = armed.factors[target.name].q.to(armed.device, torch.float64)
            scale = multipliers[armed.layout.slices[target.name]].to(armed.device, torch.float64) - 1
            w = w + (q * scale) @ (q.T @ w) if target.is_left else w + (w @ q) @ (scale[:, None] * q.T)
        share = held(target, base)
        slices.append(w[share.rows, share.columns])
    full = torch.cat(slices).to(armed.dtype).contiguous()
    if base.weight.numel():
        base.weight.data.copy_(full)
        return
    # Packed for CPUs: given anew, and packed as when it was loaded. The parameter itself stays: vLLM's loaders hang on it.
    kept = base.weight
    base.weight = torch.nn.Parameter(full, requires_grad=False)
    base.quant_method.process_weights_after_loading(base)
    if base.weight.numel() == 0:
        base.weight = kept


patches.on_lora_model(arm)
