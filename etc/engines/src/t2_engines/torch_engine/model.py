"""A model of transformers with its targets found, named as its checkpoint names them, and factorized."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

from t2_engines import svf
from t2_engines.checkpoint import Checkpoint, CheckpointError, ServedFile, served_files
from t2_engines.layout import Layout, Target
from t2_engines.torch_engine.hooks import Hooks, Site

TYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

#: Is told what is being done, and how much of it, 0 to 1, where that is known.
Tell = Callable[[str, float | None], None]


@dataclass
class LoadedModel:
    """A model ready to compute. Everything of it belongs to the compute thread, but what is immutable."""

    model: PreTrainedModel
    layout: Layout
    hooks: Hooks
    sigma: npt.NDArray[np.float64]
    digest: str
    stored: str
    end_ids: list[int]
    files: dict[str, ServedFile]
    device: torch.device
    type: str
    id: str
    architecture: str
    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    context: int
    warnings: list[str]
    #: What the forward pass takes of what is passed where it can be.
    takes: frozenset[str]
    # Found out by `compute.probe`:
    #: Whether rows of one batch may have several lengths.
    pads: bool = False
    #: Whether rows of one batch may have mixtures of their own.
    mixes_rows: bool = False
    #: Whether a prompt may be computed once for several continuations.
    shares_prompts: bool = False
    #: Whether decoding by a cache gives what whole sequences give.
    caches: bool = False
    notes: list[str] = field(default_factory=list)

    def forward(
        self, ids: Tensor, mask: Tensor, positions: Tensor, keep: Tensor | int | None = None, **more: Any
    ) -> Any:
        """A forward pass. ids (rows, new tokens), mask (rows, all tokens) of ones where there are tokens, positions (rows, new
        tokens). keep: the places whose logits are wanted, or how many at the end; a model that cannot gives all."""
        more.setdefault("use_cache", False)
        if "position_ids" in self.takes:
            more["position_ids"] = positions
        if keep is not None and "logits_to_keep" in self.takes:
            more["logits_to_keep"] = keep
        return self.model(input_ids=ids, attention_mask=mask, **more)

    def kept(self, logits: Tensor, keep: Tensor | int) -> Tensor:
        """The logits of `keep`, of a pass that was asked for them."""
        if "logits_to_keep" in self.takes:
            return logits
        return logits[:, -keep:] if isinstance(keep, int) else logits[:, keep]


def load(directory: Path, *, type: str, device: str, factors: Path, tell: Tell) -> LoadedModel:
    """Loads, checks and factorizes a model. Blocks for minutes with large ones; raises CheckpointError with what is wrong."""
    tell("reading the checkpoint", None)
    checkpoint = Checkpoint(directory)
    files, warnings = served_files(directory)
    config = _config(directory)
    tell("loading the weights", None)
    model = _model(directory, config, TYPES[type], device)
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    text = config.get_text_config()
    sites, layers = find_sites(model, checkpoint, warnings)
    layout = Layout.of(site.target for site in sites)
    if not layout.targets:
        raise CheckpointError(
            f"'{directory}' ({config.model_type}) has no linear layer in its decoder that an expert could change"
        )

    def matrix(target: Target) -> Tensor:
        return checkpoint.matrix(target.name)

    def telling(what: str) -> svf.Progress:
        return lambda done, of: tell(f"{what}: {done} of {of} matrices", done / of)

    digest = svf.model_digest(layout, matrix, telling("computing the model's digest"))
    tell("reading the factorization", None)
    cache = svf.FactorCache(factors)
    try:
        found = cache.read_or_make(digest, layout, matrix, telling("factorizing"), device)
    except svf.FactorCacheError as error:
        warnings.append(f"{error}; until then every start factorizes anew")
        found = error.made or svf.compute(layout, matrix, telling("factorizing"), device)
    hooks = Hooks(layout, sites, {name: factor.q.to(device) for name, factor in found.items()}, layers)
    stored = Counter(checkpoint.tensors[target.name].type for target in layout).most_common(1)[0][0]
    return LoadedModel(
        model=model,
        layout=layout,
        hooks=hooks,
        sigma=svf.sigma_vector(layout, found),
        digest=digest,
        stored=stored,
        end_ids=checkpoint.end_ids(),
        files=files,
        device=torch.device(device),
        type=type,
        id=directory.resolve().name,
        architecture=(config.architectures or [config.model_type])[0],
        parameters=model.num_parameters(),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        vocabulary=text.vocab_size,
        context=_context(text, warnings),
        warnings=warnings,
        takes=frozenset(inspect.signature(model.forward).parameters),
    )


def find_sites(model: nn.Module, checkpoint: Checkpoint, warnings: list[str]) -> tuple[list[Site], Sequence[nn.Module]]:
    """The linear layers of the decoder whose matrices are targets, in the order of the modules, and the decoder's layers.

    No target is what stands in the checkpoint under another name or in another form, since an expert could not name it; and
    what is multiplied by otherwise than by calling its layer, since that product cannot be changed.
    """
    stack = decoder_layers(model)
    if stack is None:
        raise CheckpointError(f"the {type(model).__name__} of transformers has no list of its decoder's layers")
    sites: list[Site] = []
    left: list[str] = []
    for name, module in stack[1].named_modules(prefix=stack[0]):
        # Matrices of several experts in one tensor, as mixtures of experts have them.
        left += [
            f"{name}.{each}" for each, p in module.named_parameters(recurse=False) if p.dim() == 3 and "expert" in name
        ]
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor) or weight.dim() != 2 or isinstance(module, nn.Embedding):
            continue
        stored = _stored_name(name + ".weight", model, checkpoint)
        if (
            is_linear(module)
            and stored is not None
            and checkpoint.tensors[stored].shape == tuple(weight.shape)
            # Or transformers converts it while it loads.
            and torch.equal(weight.cpu(), checkpoint.matrix(stored).to(weight.dtype))
        ):
            sites.append(Site(Target(stored, *weight.shape), module))
        else:
            left.append(name + ".weight")
    reached = _reached(model, sites)
    left += [site.target.name for site in sites if site not in reached]
    if left:
        warnings.append(
            f"{len(left)} weights are no targets, since they are not in the checkpoint as the model has them, or are no linear "
            f"layers that the model calls: {', '.join(left[:3])}" + (" ..." if len(left) > 3 else "")
        )
    return reached, list(stack[1])


def is_linear(module: nn.Module) -> bool:
    """Whether a module multiplies by its weight and adds its bias, as nn.Linear or Conv1D do. Of subclasses it is tried."""
    forward = type(module).forward
    if forward in (nn.Linear.forward, Conv1D.forward):
        return True
    if not isinstance(module, nn.Linear) or not module.weight.is_floating_point():
        return False
    x = torch.randn(2, 3, module.in_features, generator=torch.Generator().manual_seed(1)).to(module.weight)
    with torch.inference_mode():
        expected = nn.functional.linear(x, module.weight, module.bias)
        found = module(x)
    tolerance = 1e-4 if module.weight.dtype == torch.float32 else 5e-2
    return isinstance(found, Tensor) and torch.allclose(found, expected, rtol=tolerance, atol=tolerance)


def _reached(model: nn.Module, sites: Sequence[Site]) -> list[Site]:
    """The sites whose layers are called, or may be for other tokens. A weight that changes the logits though its layer is not
    called is read by the model in another way, as some of state space models are."""
    called: set[int] = set()
    ids = torch.arange(8).unsqueeze(0).to(next(model.parameters()).device)
    handles = [site.layer.register_forward_pre_hook(lambda layer, _: called.add(id(layer))) for site in sites]
    try:
        with torch.no_grad():
            before = model(input_ids=ids, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    found: list[Site] = []
    for site in sites:
        if id(site.layer) not in called:
            weight: Tensor = site.layer.weight  # type: ignore[assignment]
            original = weight.clone()
            with torch.no_grad():
                weight.mul_(-2)
                is_read = not torch.equal(model(input_ids=ids, use_cache=False).logits, before)
                weight.copy_(original)
            if is_read:
                continue
        found.append(site)
    return found


def decoder_layers(model: nn.Module) -> tuple[str, nn.ModuleList] | None:
    """The list of a language model's layers, and its name: the first that is as long as the configuration says."""
    layers = model.config.get_text_config().num_hidden_layers  # type: ignore[union-attr, operator]
    return next(
        (
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, nn.ModuleList) and len(module) == layers
        ),
        None,
    )


def decoder_matrices(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of the linear layers of a model's decoder, by the names of its parameters."""
    prefix, layers = decoder_layers(model) or ("", nn.ModuleList())
    for name, module in layers.named_modules(prefix=prefix):
        if is_linear(module):
            weight: Tensor = module.weight
            yield name + ".weight", weight


def _stored_name(name: str, model: nn.Module, checkpoint: Checkpoint) -> str | None:
    """A parameter's name in the checkpoint: its own, or without or with the prefix of the base model, which transformers
    puts in front or takes away."""
    prefix = getattr(model, "base_model_prefix", "") + "."
    return next((n for n in (name, name.removeprefix(prefix), prefix + name) if n in checkpoint.tensors), None)


def _config(directory: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"transformers cannot read '{directory}/config.json': {_first_line(error)}") from error


def _model(directory: Path, config: Any, type: torch.dtype, device: str) -> PreTrainedModel:
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # torch's attention has no cap of its scores, and transformers leaves the cap out without a word.
    is_capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=type,
            attn_implementation="eager" if is_capped else None,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise CheckpointError(f"transformers cannot load '{directory}': {_first_line(error)}") from error
    model, info = loaded
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        # transformers makes random ones, and goes on.
        raise CheckpointError(
            f"'{directory}' lacks {len(missing)} tensors of its model, among them '{missing[0]}'; is the download complete?"
        )
    found: PreTrainedModel = model.to(device)
    return found


def _context(config: Any, warnings: list[str]) -> int:
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    warnings.append("config.json does not say how long the context is; 2048 tokens are taken")
    return 2048


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
