"""Input from anywhere: every bad one ends as a clean FAILED workflow that says what is wrong."""

import gc
import inspect
import json
import warnings
from collections.abc import Callable

import pytest
from temporalio.common import RawValue

from tests.workflows.scripted import Script, a_request
from tests.workflows.theatre import Theatre, facts, failed, raw, until
from workflows.contracts.failures import FailureKind
from workflows.contracts.requests import Operation
from workflows.contracts.stages import Stage

I2V, SCENE, AVATAR = Operation


def _json(operation: Operation, /, **changes: object) -> RawValue:
    return raw(json.dumps(a_request(operation, **changes)).encode())


def _told(operation: Operation, text: str) -> dict[str, object]:
    """The field in which an operation is told what to make, with this text."""
    return {"scene": {"title": text}} if operation is SCENE else {"prompt": text}


def _whole_number(operation: Operation, value: object) -> RawValue:
    return _json(operation, **{"duration_s" if operation is SCENE else "seed": value})


ANYWHERE: dict[str, Callable[[Operation], list[object]]] = {
    "none at all": lambda _: [],
    "null": lambda _: [None],
    "null in JSON": lambda _: [raw(b"null")],
    "a list": lambda operation: [[a_request(operation)]],
    "a string": lambda _: ["make me a video"],
    "a number": lambda _: [42],
    "bytes": lambda _: [raw(b"\x00\x01", b"binary/plain")],
    "broken JSON": lambda _: [raw(b'{"user_id": ')],
    "an unknown encoding": lambda _: [raw(b"{}", b"json/secret")],
    "not UTF-8": lambda _: [raw(b'{"user_id": "\xff"}')],
    "an empty object": lambda _: [raw(b"{}")],
    "an unknown field": lambda operation: [_json(operation, colour="blue")],
    "another operation's name": lambda operation: [_json(operation, operation="text-to-video")],
    "another operation's request": lambda operation: [
        a_request(AVATAR if operation is SCENE else SCENE)
    ],
    "a missing field": lambda _: [raw(b'{"user_id": "ada"}')],
    "no picture": lambda operation: [_json(operation, image=None)],
    "a wrong type": lambda operation: [_whole_number(operation, "seven")],
    "NaN": lambda operation: [
        raw(json.dumps(a_request(operation)).replace('"ada"', "NaN").encode())
    ],
    "an infinite number": lambda operation: [_whole_number(operation, float("inf"))],
    "a lone surrogate": lambda operation: [_json(operation, **_told(operation, "\ud800"))],
    "a NUL": lambda operation: [_json(operation, **_told(operation, "a\x00b"))],
    "a NUL in the model's name": lambda operation: [_json(operation, model="a\x00b")],
    "an integer over 64 bits": lambda operation: [_whole_number(operation, 10**30)],
    "an integer of 5000 digits": lambda operation: [
        raw(
            json.dumps(a_request(operation, max_cost_usd_micros=1))
            .replace("1}", "1" * 5000 + "}")
            .encode()
        )
    ],
    "a number that is no integer": lambda operation: [_whole_number(operation, 5.5)],
    "a foreign path as media": lambda operation: [_json(operation, image={"path": "/etc/passwd"})],
    "an http address": lambda operation: [
        _json(operation, image={"url": "http://example.com/a.png"})
    ],
    "a callback to no address": lambda operation: [_json(operation, callback_url="mailto:a@b.c")],
    "100,000 brackets": lambda _: [raw(b"[" * 100_000 + b"]" * 100_000)],
    "a field of 100,000 brackets": lambda _: [
        raw(b'{"user_id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    ],
    "a text beyond every limit": lambda operation: [
        _json(operation, **_told(operation, "x" * 20_001))
    ],
    "not claimed": lambda _: [{"claimed": False}],
    "claimed with more": lambda operation: [_json(operation, claimed=True)],
}
"""Bad for every operation."""

OF_ONE: dict[str, tuple[Operation, RawValue]] = {
    "sound for a scene": (SCENE, _json(SCENE, audio={"media_id": "med_" + "b" * 26})),
    "a prompt for a scene": (SCENE, _json(SCENE, prompt="a calm sea")),
    "a guidance scale in words": (SCENE, _json(SCENE, guidance_scale="half")),
    "an endless guidance scale": (SCENE, _json(SCENE, guidance_scale=float("inf"))),
    "no scene": (SCENE, _json(SCENE, scene=None)),
    "a scene that tells nothing": (SCENE, _json(SCENE, scene={"narration": "Hello."})),
    "a scene in one text": (SCENE, _json(SCENE, scene="a calm sea")),
    "a scene by a foreign id": (SCENE, _json(SCENE, scene={"media_id": "../scene"})),
    "a scene by address": (SCENE, _json(SCENE, scene={"url": "https://example.com/scene"})),
    "a scene number beyond all": (SCENE, _json(SCENE, scene={"title": "x", "scene_number": 10**9})),
    "a story that is deeply nested": (
        SCENE,
        _json(SCENE, story_context={"tone": [[[[[[["deep"]]]]]]]}),
    ),
    "17 kB of story": (SCENE, _json(SCENE, story_context={"outline": "x" * 17_000})),
    "a voice that is missing": (AVATAR, _json(AVATAR, audio=None)),
    "a length for an avatar": (AVATAR, _json(AVATAR, duration_s=5)),
    "a mask by path": (AVATAR, _json(AVATAR, mask_image={"path": "mask.png"})),
    "a mask for a video": (I2V, _json(I2V, mask_image={"media_id": "med_" + "a" * 26})),
    "a scene for a video": (I2V, _json(I2V, scene={"title": "a calm sea"})),
}


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("name", ANYWHERE)
async def test_a_bad_input_ends_failed_before_any_step(
    theatre: Theatre, name: str, operation: Operation
) -> None:
    await _ends_failed_before_any_step(theatre, operation, ANYWHERE[name](operation))


@pytest.mark.parametrize("name", OF_ONE)
async def test_what_one_operation_does_not_take_ends_failed_before_any_step(
    theatre: Theatre, name: str
) -> None:
    operation, bad = OF_ONE[name]

    await _ends_failed_before_any_step(theatre, operation, [bad])


async def _ends_failed_before_any_step(
    theatre: Theatre, operation: Operation, inputs: list[object]
) -> None:
    script = Script()

    handle = await theatre.start(script, args=inputs, operation=operation)
    told = await failed(handle)

    assert told.kind is FailureKind.INVALID_REQUEST
    assert told.message.endswith(".")
    assert told.money == "Nothing was charged."
    assert told.hint
    assert script.calls == []
    assert (await facts(handle)).stage is Stage.FAILED


@pytest.mark.parametrize("operation", Operation)
async def test_two_inputs_end_failed_though_nobody_can_query_them(
    theatre: Theatre, operation: Operation
) -> None:
    script = Script()

    # The workflow's object is never made and its coroutine never awaited: Python may say so here.
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        handle = await theatre.start(script, args=[a_request(), a_request()], operation=operation)
        told = await failed(handle)
        await until(_nothing_waits_to_be_awaited)

    assert told.kind is FailureKind.INVALID_REQUEST
    assert told.message == "input: one JSON object is needed."
    assert script.calls == []


async def test_a_refused_input_is_told_by_its_field_and_never_by_its_value(
    theatre: Theatre,
) -> None:
    handle = await theatre.start(Script(), a_request(seed="hunter2", colour="hunter2"))

    told = await failed(handle)

    assert "seed: Input should be a valid integer" in told.message
    assert "colour: Extra inputs are not permitted" in told.message
    assert "hunter2" not in told.message


@pytest.mark.parametrize(
    ("operation", "changes", "message"),
    [
        (
            SCENE,
            {"resolution": "720p"},
            (
                "resolution: Extra inputs are not permitted; allowed: callback_url, duration_s,"
                " guidance_scale, idempotency_key, image, max_cost_usd_micros, model,"
                " negative_prompt, operation, scene, source, story_context, user_id."
            ),
        ),
        (
            SCENE,
            {"scene": {"media_id": "mine"}},
            "scene.media_id: String should match pattern '^med_[a-z0-9]{26}$'.",
        ),
        (SCENE, {"scene": {}}, "scene: a title, a description or an image_prompt is needed."),
        (
            AVATAR,
            {"story_context": {"outline": "x" * 17_000}},
            (
                "scene, story_context: 17014 bytes of JSON; allowed: at most 16384 inline, more by"
                " media id (stillmotion upload FILE.json)."
            ),
        ),
        (AVATAR, {"mask_image": {"media_id": "a", "url": "b"}}, None),
    ],
    ids=lambda each: str(each)[:40],
)
async def test_a_refused_input_is_told_as_callers_write_it(
    theatre: Theatre, operation: Operation, changes: dict[str, object], message: str | None
) -> None:
    handle = await theatre.start(Script(), a_request(operation, **changes), operation=operation)

    told = await failed(handle)

    assert message is None or told.message == message
    for tag in (".inline", ".stored", "MediaBy", "Value error", "scene-animation"):
        assert tag not in told.message


async def test_a_thousand_problems_are_told_by_their_first_few(theatre: Theatre) -> None:
    unknown = {f"field_{number}": number for number in range(1000)}

    handle = await theatre.start(Script(), a_request(**unknown))
    told = await failed(handle)

    assert told.message.count("Extra inputs") == 5


def _nothing_waits_to_be_awaited() -> bool:
    gc.collect()
    return not any(
        inspect.iscoroutine(thing)
        and thing.__name__ == "run_workflow"
        and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED
        for thing in gc.get_objects()
    )
