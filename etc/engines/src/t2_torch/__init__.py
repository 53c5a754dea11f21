"""Multipliers on a Hugging Face model in memory, without t2d.

from transformers import AutoModelForCausalLM
import t2_torch

model = AutoModelForCausalLM.from_pretrained(directory, dtype="auto")
with t2_torch.apply(model, "science.safetensors"):
    ...                                  # the model answers as under the expert
"""

from t2_torch.application import Applied, ApplyError, apply

__all__ = ["Applied", "ApplyError", "apply"]
