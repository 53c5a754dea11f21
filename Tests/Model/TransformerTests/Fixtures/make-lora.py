"""Writes lora.json: the tiny model with LoRA on q and v, its loss over ids[8...16] and the gradient of every A and B.

    pip install torch transformers safetensors
    python3 make-lora.py

Last written with torch 2.15.0 and transformers 5.24.0.
"""

import json
import pathlib

import torch
from safetensors.torch import load_file
from torch.func import functional_call
from transformers import LlamaConfig, LlamaForCausalLM

here = pathlib.Path(__file__).parent
torch.manual_seed(3)
config = LlamaConfig(**json.loads((here / "tiny/config.json").read_text()))
model = LlamaForCausalLM(config).double().eval()
model.load_state_dict({name: value.double() for name, value in load_file(here / "tiny/model.safetensors").items()})
ids = torch.tensor([json.loads((here / "tiny/values.json").read_text())["ids"][:17]])

rank, scale = 3, 2.0
state = dict(model.state_dict())
names = [n for n in state if n.endswith(("q_proj.weight", "v_proj.weight"))]
adapters = []
weights = {}
for name in names:
    m, n = state[name].shape
    a = (torch.randn(rank, n) * 0.3).double().requires_grad_()
    b = (torch.randn(m, rank) * 0.3).double().requires_grad_()
    adapters += [a, b]
    weights[name] = state[name] + scale * b @ a
logits = functional_call(model, weights, (ids,)).logits[0]
loss = -sum(torch.log_softmax(logits[p - 1], 0)[ids[0, p]] for p in range(8, 17))
loss.backward()


def flat(tensors):
    return [value for tensor in tensors for value in tensor.detach().flatten().float().tolist()]


(here / "lora.json").write_text(json.dumps({
    "rank": rank, "names": names, "parameters": flat(adapters), "loss": loss.item(),
    "gradient": flat([tensor.grad for tensor in adapters]),
}) + "\n")
