import hashlib
import struct

import numpy as np
import pytest

from t2_engines.layout import Layout, Target


def named(*names: str) -> Layout:
    return Layout.of(Target(name, 2, 3) for name in names)


def test_projections_stand_in_the_order_of_t2d_and_layers_by_number() -> None:
    modules = [
        "mlp.down_proj",
        "mlp.up_proj",
        "mlp.gate_proj",
        "self_attn.o_proj",
        "self_attn.v_proj",
        "self_attn.k_proj",
        "self_attn.q_proj",
    ]
    layout = named(*(f"model.layers.{layer}.{module}.weight" for layer in (10, 9) for module in modules))
    expected = [f"model.layers.{layer}.{module}.weight" for layer in (9, 10) for module in reversed(modules)]
    # Reversed, but gate stands before up.
    assert [target.name for target in layout] == expected


def test_fused_projections_stand_where_their_first_part_would() -> None:
    modules = ["mlp.down_proj", "mlp.gate_up_proj", "self_attn.qkv_proj", "self_attn.o_proj"]
    layout = named(*(f"model.layers.0.{module}.weight" for module in modules))
    assert [target.name.split(".")[-2] for target in layout] == ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]


def test_other_matrices_keep_the_order_of_the_modules_behind_the_known_ones() -> None:
    layout = named("h.0.mlp.fc2.weight", "h.0.mlp.fc1.weight", "h.0.attn.q_proj.weight", "h.0.attn.dense.weight")
    assert [target.name.split(".")[-2] for target in layout] == ["q_proj", "fc2", "fc1", "dense"]


def test_two_targets_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="h.0.a.weight"):
        named("h.0.a.weight", "h.0.a.weight")


def test_a_layer_is_the_first_number_of_the_name() -> None:
    assert Target("model.layers.12.experts.3.down_proj.weight", 2, 2).layer == 12
    assert Target("lm_head.weight", 2, 2).layer == -1


def test_multipliers_are_flat_and_as_many_as_the_short_side() -> None:
    layout = Layout.of([Target("l.0.a.weight", 2, 3), Target("l.0.b.weight", 5, 4)])
    assert layout.count == 6
    assert layout.slices == {"l.0.a.weight": slice(0, 2), "l.0.b.weight": slice(2, 6)}


def test_the_digest_of_a_mixture_is_over_names_and_little_endian_floats() -> None:
    layout = Layout.of([Target("l.0.b.weight", 1, 3), Target("l.0.a.weight", 5, 2)])
    expected = hashlib.sha256(
        b"l.0.b.weight\0" + struct.pack("<f", 0.5) + b"l.0.a.weight\0" + struct.pack("<2f", 1.25, -3)
    ).hexdigest()
    assert layout.mixture_digest(np.array([0.5, 1.25, -3], np.float32)) == "sha256:" + expected
