import struct

import numpy as np
import pytest
from pydantic import BaseModel

from t2_engines import wire

D = "sha256:" + "0" * 64
SCORE = b'{"items":[{"prompt":[1],"continuations":[[2,3]],"mixture":null}]}'
FACTS = wire.Facts(
    protocol=1,
    engine=wire.EngineFacts(name="fake", version="1", type="float32", device="cpu", parallelism=1),
    model=wire.ModelFacts(
        id="m",
        architecture="a",
        parameters=1,
        layers=2,
        hidden=4,
        vocabulary=10,
        context=4,
        stored="F32",
        digest=D,
        end_ids=[2],
    ),
    targets=[wire.TargetFacts(name="l.0.a.weight", rows=2, columns=3)],
    abilities=wire.Abilities(gradients=True, logits=True, generate=True, images=False, mixtures=2),
    files={},
    warnings=[],
)


def refusal(model: type[BaseModel], body: bytes) -> str:
    with pytest.raises(wire.EngineError) as caught:
        wire.parse(model, body)
    assert (caught.value.code, caught.value.status) == ("bad_request", 400)
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"items":[{"prompt":[1],"continuations":[[2]],"mixture":null}],"item":1}', "unknown member 'item'"),
        (
            b'{"items":[{"prompt":[1],"continuations":[[2]],"mixture":null,"seed":1}]}',
            "unknown member 'seed' in items[0]",
        ),
        (b'{"items":[{"prompt":[1],"continuations":[[2]]}]}', "member 'mixture' is missing in items[0]"),
        (b"{}", "member 'items' is missing"),
        (b'{"items":[]}', "items is invalid"),
        (b'{"items":[{"prompt":[],"continuations":[[2]],"mixture":null}]}', "items[0].prompt is invalid"),
        (b'{"items":[{"prompt":[1],"continuations":[[]],"mixture":null}]}', "items[0].continuations[0] is invalid"),
        (b'{"items":[{"prompt":[1],"continuations":[],"mixture":null}]}', "items[0].continuations is invalid"),
        (b'{"items":[{"prompt":[1.0],"continuations":[[2]],"mixture":null}]}', "items[0].prompt[0] is invalid"),
        (b'{"items":[{"prompt":[true],"continuations":[[2]],"mixture":null}]}', "items[0].prompt[0] is invalid"),
        (b'{"items":[{"prompt":["1"],"continuations":[[2]],"mixture":null}]}', "items[0].prompt[0] is invalid"),
        (b'{"items":[{"prompt":[-1],"continuations":[[2]],"mixture":null}]}', "items[0].prompt[0] is invalid"),
        (b'{"items":[{"prompt":[1],"continuations":[[2]],"mixture":"abc"}]}', "items[0].mixture is invalid"),
        (b'{"items":[],"items":[]}', "member 'items' stands twice"),
        (b"[]", "the request is invalid"),
        (b'{"items":NaN}', "NaN"),
        (b"{", "no JSON"),
        (b"\xff{}", "no JSON in UTF-8"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_what_is_wrong(body: bytes, says: str) -> None:
    assert says in refusal(wire.ScoreRequest, body)


@pytest.mark.parametrize(
    ("member", "value", "is_allowed"),
    [
        ("max_tokens", "0", False), ("max_tokens", "1", True), ("temperature", "-0.1", False), ("temperature", "0", True),
        ("temperature", "true", False), ("top_p", "0", False), ("top_p", "1", True), ("top_p", "1.1", False),
        ("seed", "-1", False), ("seed", "18446744073709551615", True),
        ("seed", "18446744073709551616", False), ("temperature", "1e999", False),
    ],
)  # fmt: skip
def test_numbers_have_ranges(member: str, value: str, is_allowed: bool) -> None:
    members = {
        "prompt": "[1]",
        "mixture": "null",
        "max_tokens": "3",
        "stop_ids": "[]",
        "temperature": "0.5",
        "top_p": "1.0",
        "seed": "0",
    }
    body = ("{" + ",".join(f'"{key}":{text}' for key, text in (members | {member: value}).items()) + "}").encode()
    if is_allowed:
        wire.parse(wire.GenerateRequest, body)
    else:
        assert member in refusal(wire.GenerateRequest, body)


def test_the_members_of_a_gradient_have_defaults() -> None:
    request = wire.parse(wire.GradientRequest, b'{"items":[{"prompt":[1],"continuations":[[2]]}],"mixture":null}')
    assert (request.temperature, request.divergence, request.derivatives) == (1.0, None, None)
    assert (request.divergence_weight, request.from_layer) == (0.0, 0)


def test_the_mixtures_of_a_request_are_named_once_in_their_order() -> None:
    a, b = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    items = [wire.MixedItem(prompt=[1], continuations=[[2]], mixture=name) for name in (b, None, a, b)]
    assert wire.ScoreRequest(items=items).mixtures == [b, a]


def test_a_frame_is_a_line_and_floats() -> None:
    body = wire.frame({}, np.array([1.5, -2], np.float32))
    assert body == b"{}\n" + struct.pack("<2f", 1.5, -2)
    _, numbers = wire.parse_frame(wire.Nothing, body)
    assert numbers.tolist() == [1.5, -2]


@pytest.mark.parametrize(
    ("body", "says"),
    [(b"{}", "newline"), (b"{}\n123", "3 bytes"), (b'{"a":1}\n', "unknown member 'a'"), (b"\n", "no JSON")],
)
def test_a_wrong_frame_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(wire.EngineError, match=says) as caught:
        wire.parse_frame(wire.Nothing, body)
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize("numbers", [[1.0], [1, np.nan], [1, np.inf], [1, 10.5], [-10.5, 1]])
def test_multipliers_are_finite_few_and_small(numbers: list[float]) -> None:
    with pytest.raises(wire.EngineError) as caught:
        wire.check_multipliers(np.array(numbers, np.float32), 2)
    assert caught.value.code == "bad_request"
    wire.check_multipliers(np.array([-10, 10], np.float32), 2)


def test_floats_in_json_are_read_back_as_the_same_float32() -> None:
    values = (np.random.default_rng(1).normal(size=2000) * 10.0 ** np.arange(-20, 20).repeat(50)).astype(np.float32)
    assert all(np.float32(wire.float32_json(float(value))) == value for value in values)
    assert [wire.float32_json(value) for value in (float("nan"), float("inf"), -0.1)] == [None, None, -0.1]


def item(prompt: list[int], *continuations: list[int]) -> wire.Item:
    return wire.Item(prompt=prompt, continuations=list(continuations))


def test_tokens_and_lengths_fit_the_model() -> None:
    wire.check_items([item([9], [1, 2, 3])], FACTS)
    for wrong, code, says in [
        (item([10], [1]), "bad_request", "items[0].prompt has token 10"),
        (item([1], [1], [1, 11]), "bad_request", "items[0].continuations[1] has token 11"),
        (item([1, 2], [1, 2, 3]), "too_long", "5 tokens"),
    ]:
        with pytest.raises(wire.EngineError) as caught:
            wire.check_items([wrong], FACTS)
        assert caught.value.code == code and says in caught.value.message


def test_a_prompt_leaves_room_for_what_is_asked() -> None:
    wire.check_logits(wire.LogitsRequest(prompt=[1, 2, 3, 4], mixture=None), FACTS)
    rest = {"mixture": None, "max_tokens": 1, "stop_ids": [], "temperature": 0.0, "top_p": 1.0, "seed": 0}
    wire.check_generate(wire.GenerateRequest(prompt=[1, 2, 3], **rest), FACTS)
    for refused in (
        lambda: wire.check_logits(wire.LogitsRequest(prompt=[1] * 5, mixture=None), FACTS),
        lambda: wire.check_generate(wire.GenerateRequest(prompt=[1] * 4, **rest), FACTS),
    ):
        with pytest.raises(wire.EngineError) as caught:
            refused()
        assert caught.value.code == "too_long"


def test_what_an_engine_cannot_has_its_own_error() -> None:
    none = FACTS.model_copy(
        update={"abilities": wire.Abilities(gradients=False, logits=False, generate=True, images=False, mixtures=1)}
    )
    with pytest.raises(wire.EngineError) as caught:
        wire.check_gradient(wire.GradientRequest(items=[item([1], [2])], mixture=None), none)
    assert caught.value.code == "no_gradients"
    with pytest.raises(wire.EngineError) as caught:
        wire.check_logits(wire.LogitsRequest(prompt=[1], mixture=None), none)
    assert caught.value.code == "no_logits"
    with pytest.raises(wire.EngineError, match="at most 1 at once"):
        wire.check_mixtures([D, D[:-1] + "1"], none)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"derivatives": [[[1.0]]]}, "derivatives"),
        ({"derivatives": [[[1.0, 2.0]], []]}, "derivatives"),
        ({"divergence_weight": 0.5}, "divergence is null"),
        ({"from_layer": 3}, "from_layer is 3"),
    ],
)
def test_a_gradient_request_is_consistent(members: dict[str, object], says: str) -> None:
    request = wire.GradientRequest.model_validate(
        {"items": [{"prompt": [1], "continuations": [[2, 3]]}], "mixture": None} | members
    )
    with pytest.raises(wire.EngineError, match=says):
        wire.check_gradient(request, FACTS)


def test_another_mixture_read_back_is_never_answered() -> None:
    assert wire.checked_read_back({D: [D, D]}) == {D: [D, D]}
    with pytest.raises(wire.EngineError, match="rank 1") as caught:
        wire.checked_read_back({D: [D, "sha256:" + "1" * 64]})
    assert (caught.value.code, caught.value.status) == ("wrong_mixture", 500)


def test_an_error_has_its_status_and_members() -> None:
    error = wire.unknown_mixture(D)
    assert error.status == 404
    assert error.body() == {"error": {"code": "unknown_mixture", "message": error.message, "mixture": D}}
