"""Which vLLM is patched, and which is refused, by name. Without vLLM: modules of its shape stand for it."""

from __future__ import annotations

import sys
import types

import pytest

from t2_engines.vllm import patches


def test_a_version_that_was_never_read_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "version", lambda: "0.99.1")
    with pytest.raises(patches.UnsupportedVLLM, match="patches vLLM 0.32.0, and this is 0.99.1"):
        patches.check()


def test_a_build_whose_patched_function_differs_is_refused_by_that_functions_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pinned = patches.SUPPORTED["0.32.0"]
    changed = patches.RELIED_UPON[0]
    monkeypatch.setattr(patches, "version", lambda: "0.32.0")
    monkeypatch.setattr(patches, "digest", lambda name: "other" if name == changed else pinned[name])
    with pytest.raises(patches.UnsupportedVLLM, match=f"{changed} is not what"):
        patches.check()
    monkeypatch.setattr(patches, "digest", pinned.__getitem__)
    patches.check()


def test_every_function_that_is_relied_upon_is_pinned_in_every_version() -> None:
    for pinned in patches.SUPPORTED.values():
        assert set(pinned) == set(patches.RELIED_UPON)


def test_the_digest_is_of_the_source_and_a_missing_function_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("relied")
    monkeypatch.setitem(sys.modules, "relied", module)
    module.version = patches.version  # type: ignore[attr-defined]
    assert patches.digest("relied:version") == patches.digest("t2_engines.vllm.patches:version") != "absent"
    assert patches.digest("relied:gone") == patches.digest("nowhere.at.all:x") == "absent"


@pytest.mark.vllm
def test_the_installed_vllm_is_supported() -> None:
    patches.check()
