"""Writes the .pt files of this directory, and what is in them.

    pip install torch transformers
    python3 make-torch.py

The experts are made as the paper's reference code makes them: a walk through the state_dict() of a Llama of transformers
takes what has "mlp" in its name; the parameters go into a ParameterList, whose state_dict() is policy_params.pt, and the
dictionary by name is learnable_params.pt. Last written with torch 2.15.0 and transformers 5.24.0.
"""

import json
import os
import pathlib
import zipfile

import torch
from transformers import LlamaConfig, LlamaForCausalLM

here = pathlib.Path(__file__).parent
torch.manual_seed(1)
config = LlamaConfig(
    hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    vocab_size=16, max_position_embeddings=32, tie_word_embeddings=True)
base = LlamaForCausalLM(config).state_dict()


class Policy(torch.nn.Module):
    def __init__(self, named):
        super().__init__()
        self.learnable_params_module_list = torch.nn.ParameterList(named.values())


named = {
    name: torch.nn.Parameter((torch.randn(min(weight.shape)) * 0.5 + 0.1).to(torch.bfloat16))
    for name, weight in base.items() if "mlp" in name
}
state = Policy(named).state_dict()
torch.save(state, here / "policy_params.pt")
torch.save(named, here / "learnable_params.pt")

wide = torch.randn(24)
kinds = {
    "float": torch.randn(5),
    "half": torch.randn(5).half(),
    "bfloat16": torch.randn(5).bfloat16(),
    "offset": wide[3:9],
    "strided": wide[1::5],
    "transposed": wide.view(4, 6).t(),
    "cube": wide.view(2, 3, 4).permute(1, 2, 0),
    "scalar": torch.tensor(2.5),
}
torch.save(kinds, here / "kinds.pt")
torch.save(kinds, here / "protocol4.pt", pickle_protocol=4)


def listed(tensors):
    return [{"name": n, "shape": list(t.shape), "values": t.detach().float().flatten().tolist()} for n, t in tensors]


targets = [
    {"name": name, "rows": weight.shape[0], "columns": weight.shape[1], "layer": int(name.split(".")[2])}
    for name, weight in base.items() if "_proj" in name
]
(here / "torch.json").write_text(json.dumps({
    "policy_params": listed(state.items()), "learnable_params": listed(named.items()), "kinds": listed(kinds.items()),
    "targets": targets,
}) + "\n")


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


torch.save({"a": Evil()}, here / "calls-system.pt")
torch.save({"a": Evil()}, here / "calls-system-4.pt", pickle_protocol=4)
torch.save(Policy(named), here / "whole-module.pt")
torch.save({"a": torch.zeros(3, dtype=torch.float64)}, here / "double.pt")
torch.save({"a": 1.5}, here / "number.pt")
torch.save([torch.zeros(3)], here / "list.pt")
positions = "learnable_params_module_list."
for name, keys in [("gap", ["0", "2"]), ("padded", ["0", "01"]), ("huge", ["0", "9" * 20])]:
    torch.save({positions + key: torch.zeros(8) for key in keys}, here / f"positions-{name}.pt")
torch.save({positions + "0": torch.zeros(8), "alpha": torch.zeros(8)}, here / "positions-mixed.pt")
torch.save({}, here / "empty.pt")
torch.save({"a": torch.zeros(3)}, here / "legacy.pt", _use_new_zipfile_serialization=False)
with zipfile.ZipFile(here / "kinds.pt") as source, zipfile.ZipFile(
        here / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as target:
    for entry in source.infolist():
        target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry), zipfile.ZIP_DEFLATED)
