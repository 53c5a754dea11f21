"""Tiny random models of several families, made by transformers, and what PyTorch gives for them without our code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Olmo2Config,
    PretrainedConfig,
    Qwen2Config,
)

from t2_engines.layout import Layout, Multipliers

#: Architectures with something of their own: OPT's layers see tokens without their rows; Falcon has a linear layer of its own;
#: Mixtral's experts are one tensor; Mamba reads a weight without calling its layer, and has a cache of another kind; MiniMax's
#: cache has states that are not repeated with it.
ODD = ("opt", "falcon", "mixtral", "mamba", "minimax")

VOCABULARY = 67
CONTEXT = 48

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.25,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}

#: t2d's built-in engine knows llama and qwen2 of these. gpt_neox has one fused, biased projection and layer norms; olmo2 norms
#: behind its blocks and of queries and keys; gemma2 caps of scores and logits, and windows; gpt2 matrices that lie the other
#: way round.
CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**_COMMON, num_key_value_heads=2, tie_word_embeddings=False),
    "qwen2": Qwen2Config(**_COMMON, num_key_value_heads=2, tie_word_embeddings=True),
    "gpt_neox": GPTNeoXConfig(**_COMMON),
    "olmo2": Olmo2Config(**_COMMON, num_key_value_heads=4),
    "gemma2": Gemma2Config(
        **_COMMON,
        num_key_value_heads=2,
        head_dim=6,
        sliding_window=8,
        query_pre_attn_scalar=6,
        final_logit_softcapping=20.0,
    ),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=24,
        n_layer=3,
        n_head=4,
        n_positions=CONTEXT,
        initializer_range=0.25,
        bos_token_id=1,
        eos_token_id=2,
    ),
}


_ODD: dict[str, dict[str, Any]] = {
    "opt": {"ffn_dim": 40, "word_embed_proj_dim": 24},
    "falcon": {},
    "mixtral": {"num_key_value_heads": 2, "num_local_experts": 4},
    "mamba": {},
    "minimax": {"num_key_value_heads": 2, "num_local_experts": 4},
}


def config(family: str) -> PretrainedConfig:
    return CONFIGS[family] if family in CONFIGS else AutoConfig.for_model(family, **(_COMMON | _ODD[family]))


def make(family: str, directory: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Writes a model of a family, whose norms and biases are random too: transformers begins them as ones and zeros."""
    torch.manual_seed(len(family))
    model = AutoModelForCausalLM.from_config(config(family))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.to(dtype).save_pretrained(directory)
    return directory


def vectors(layout: Layout, seed: int) -> Multipliers:
    return np.random.default_rng(seed).normal(1, 0.3, layout.count).astype(np.float32)


def reference(directory: Path, layout: Layout | None = None, multipliers: Multipliers | None = None) -> Any:
    """The model of transformers, in float32, with the weights of the definition: W' = U diag(s σ) Vᵀ, by an SVD in float64."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    if layout is None or multipliers is None:
        return model
    parameters = dict(model.named_parameters())
    for target in layout:
        weight = parameters.get(target.name)
        if weight is None:
            weight = parameters["transformer." + target.name]
        u, sigma, v = torch.linalg.svd(weight.detach().double(), full_matrices=False)
        s = torch.from_numpy(multipliers[layout.slices[target.name]]).double()
        weight.data.copy_((u * (s * sigma)) @ v)
    return model


def scores(model: Any, prompt: list[int], continuation: list[int], temperature: float = 1) -> Tensor:
    """ln p of each token of a continuation, the whole sequence by itself."""
    logits = model(input_ids=torch.tensor([prompt + continuation]), use_cache=False).logits[0].float() / temperature
    rows = log_softmax(logits, 1)[len(prompt) - 1 : -1]
    return rows.gather(1, torch.tensor(continuation).unsqueeze(1)).squeeze(1)
