"""A tiny Llama with random weights and a tokenizer, which tensor parallelism can share out: 4 heads, 2 of keys.

And what it computes under a mixture by PyTorch, from weights that a singular value decomposition made: a way that
shares no line with the engines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from t2_engines.checkpoint import Checkpoint
from t2_engines.layout import Layout, Multipliers
from t2_engines.vllm.targets import layout_of

VOCABULARY = 512
CONTEXT = 256


def make(directory: Path, dtype: torch.dtype = torch.float32, **shape: int) -> Path:
    """Writes the model, with members of its configuration in place of the tiny ones. Its weights are large enough that a
    mixture matters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(3)
    configuration = {
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": CONTEXT,
    }
    config = LlamaConfig(**(configuration | shape), tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * parameter.shape[-1] ** -0.5)
    model.to(dtype).save_pretrained(directory)
    words = ["<unk>", "<s>", "</s>", *(chr(0x4E00 + index) for index in range(VOCABULARY - 3))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(directory)
    return directory


def random_mixture(layout: Layout, seed: int, spread: float = 0.3) -> Multipliers:
    """Multipliers about 1, some of them below 1/2 and below 0."""
    return (1 + spread * np.random.default_rng(seed).standard_normal(layout.count)).clip(-3, 3).astype(np.float32)


class Reference:
    """The model by transformers in float64, on a device."""

    def __init__(self, directory: Path, device: str = "cpu") -> None:
        from transformers import AutoModelForCausalLM

        self._checkpoint = Checkpoint(directory)
        self._device = device
        self.layout = layout_of(self._checkpoint)
        self._decompositions: dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64).to(device).eval()

    @torch.no_grad()
    def put(self, mixture: Multipliers | None) -> None:
        """Gives the model the weights of a mixture, U diag(s σ) Vᵀ, or its own."""
        for target, place in zip(self.layout, self.layout.slices.values(), strict=True):
            w = self._checkpoint.matrix(target.name).to(self._device, torch.float64)
            if mixture is not None:
                if target.name not in self._decompositions:
                    self._decompositions[target.name] = torch.linalg.svd(w, full_matrices=False)
                u, sigma, v = self._decompositions[target.name]
                w = (u * (sigma * torch.from_numpy(mixture[place]).to(self._device, torch.float64))) @ v
            self._model.get_parameter(target.name).copy_(w)

    @torch.no_grad()
    def log_probabilities(self, ids: list[int], mixture: Multipliers | None) -> list[float]:
        """ln p of every token but the first."""
        self.put(mixture)
        return self.log_probabilities_now(ids)

    @torch.no_grad()
    def log_probabilities_now(self, ids: list[int]) -> list[float]:
        """The same under the weights that are there."""
        logits = self._model(torch.tensor([ids], device=self._device)).logits[0]
        values = torch.log_softmax(logits, -1)
        return [float(values[index, ids[index + 1]]) for index in range(len(ids) - 1)]
