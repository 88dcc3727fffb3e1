"""`animate-scene`: what reaches the provider, the prompt alone, stored scenes, what is refused."""

from collections.abc import Callable, Sequence

import pytest

from starter import VideoClient
from tests.starter.conftest import CHELSEA, KLING, NOTHING, SPEECH, Cli, Pictures, Stack

SCENE = {
    "scene_number": 3,
    "title": "The lighthouse",
    "description": "Rain beats against the lamp while the keeper climbs the stairs",
    "image_prompt": "a lighthouse at night, heavy rain",
}
STORY = {"setting": "a northern island", "story_tone": "quiet dread", "plot": "nobody comes"}

Words = Callable[[Pictures], Sequence[str]]


async def test_every_parameter_of_a_scene_reaches_the_provider(
    cli: Cli, stack: Stack, client: VideoClient, user: str, pictures: Pictures
) -> None:
    ran = await cli(
        *("animate-scene", CHELSEA, "--scene", pictures.json("scene.json", SCENE)),
        *("--story", pictures.json("story.json", STORY), "--duration", "10"),
        *("--guidance-scale", "0.0", "--negative-prompt", "no people"),
        *("--source", "story_writer", "--user", user, "--wait", "-o", "json"),
    )

    assert ran.code == 0, ran
    made = ran.json
    assert (made["operation"], made["model"], made["source"]) == (
        "scene-animation",
        KLING,
        "story_writer",
    )
    assert (made["duration_s"], made["cost_usd_micros"]) == (10.0, 420_000)
    sent = await stack.sent(made["prediction_id"])
    assert sent.pop("image").startswith("http")
    assert sent == {
        "prompt": made["prompt"],
        "negative_prompt": "no people",
        "guidance_scale": 0.0,
        "duration": 10,
    }
    usage = await client.usage(user)
    assert (usage.settled_usd_micros, usage.reserved_usd_micros) == (420_000, 0)


async def test_what_is_not_given_is_sent_as_the_models_default(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    ran = await cli(
        *("animate-scene", CHELSEA, "--scene", pictures.json("scene.json", SCENE)),
        *("--user", user, "--wait", "-o", "json"),
    )

    sent = await stack.sent(ran.json["prediction_id"])
    assert (sent["guidance_scale"], sent["duration"]) == (0.5, 5)
    assert "negative_prompt" not in sent
    assert ran.json["source"] == "api"


async def test_the_prompt_alone_is_shown_and_nothing_is_spent_or_stored(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    submits = await stack.submits()
    words = (
        *("animate-scene", CHELSEA, "--scene", pictures.json("scene.json", SCENE)),
        *("--story", pictures.json("story.json", STORY), "--prompt-only", "--user", user),
    )

    ran = await cli(*words, "-o", "json")
    bare = await cli(*words, "-o", "quiet")
    told = await cli(*words)

    assert (ran.code, bare.code, told.code) == (0, 0, 0)
    assert sorted(ran.json) == ["prompt", "prompt_by", "warnings"]
    assert ran.json["prompt_by"] == "llm"
    assert bare.out == ran.json["prompt"] + "\n"
    assert f"prompt     {ran.json['prompt']}" in told.out
    assert "prompt by  llm" in told.out
    assert await stack.rows_of(user) == NOTHING
    assert await stack.submits() == submits


async def test_the_prompt_alone_says_when_a_rule_had_to_make_it(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    scene = pictures.json("scene.json", SCENE)

    async with stack.faults({"chat": {"kind": "refusal"}}):
        ran = await cli("animate-scene", CHELSEA, "--scene", scene, "--prompt-only", "-o", "json")

    assert (ran.code, ran.json["prompt_by"]) == (0, "rule")
    assert "lighthouse" in ran.json["prompt"]
    assert len(ran.json["warnings"]) == 1
    assert "LLM" in ran.json["warnings"][0]


async def test_the_prompt_alone_needs_a_scene_that_could_be_animated(
    cli: Cli, user: str, pictures: Pictures
) -> None:
    scene = pictures.json("scene.json", SCENE)

    ran = await cli(
        *("animate-scene", CHELSEA, "--scene", scene, "--prompt-only"),
        *("--guidance-scale", "1.5", "--user", user),
    )

    assert ran.code == 2
    assert "--guidance-scale: 1.5; allowed: from 0.0 to 1.0." in ran.err


async def test_a_scene_is_quoted_by_its_seconds(cli: Cli, user: str, pictures: Pictures) -> None:
    scene = pictures.json("scene.json", SCENE)
    words = ("estimate", CHELSEA, "--operation", "scene-animation", "--scene", scene)

    ran = await cli(*words, "--duration", "10", "--user", user, "-o", "json")

    assert ran.code == 0
    quote = ran.json["quote"]
    assert (quote["model"], quote["cost_usd_micros"], quote["duration_s"]) == (KLING, 420_000, 10.0)


async def test_stored_scene_and_story_are_inputs_by_their_ids(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    scene = pictures.json("scene.json", SCENE | {"title": f"The lighthouse of {user}"})
    story = pictures.json("story.json", STORY)
    scene_id = (await cli("upload", scene, "--user", user, "-o", "quiet")).out.strip()
    story_id = (await cli("upload", story, "--story", "--user", user, "-o", "quiet")).out.strip()

    ran = await cli(
        *("animate-scene", CHELSEA, "--scene", scene_id, "--story", story_id),
        *("--user", user, "--wait", "-o", "json"),
    )

    assert ran.code == 0, ran
    kept = await stack.database.fetchval(
        "SELECT request FROM generations WHERE generation_id = $1", ran.json["generation_id"]
    )
    assert scene_id in kept
    assert story_id in kept
    assert ran.json["prompt_by"] == "llm"
    (asked,) = await stack.chats_about(f"The lighthouse of {user}")
    assert "quiet dread" in str(asked)


async def test_a_stored_scene_of_another_user_is_none(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    scene = pictures.json("scene.json", SCENE)
    theirs = (await cli("upload", scene, "--user", f"{user}-other", "-o", "quiet")).out.strip()

    ran = await cli("animate-scene", CHELSEA, "--scene", theirs, "--user", user)

    assert ran.code == 2
    assert f"--scene: {theirs} is not a media id of this user" in ran.err
    assert await stack.rows_of(user) == NOTHING


async def test_a_picture_is_no_stored_scene(cli: Cli, user: str) -> None:
    picture = (await cli("upload", CHELSEA, "--user", user, "-o", "quiet")).out.strip()

    ran = await cli("animate-scene", CHELSEA, "--scene", picture, "--user", user)

    assert ran.code == 2
    assert f"--scene: {picture} is image; allowed: document." in ran.err


async def test_a_scene_under_a_known_id_is_found_and_another_one_refused(
    idle_cli: Cli, user: str, pictures: Pictures
) -> None:
    scene = pictures.json("scene.json", SCENE)
    words = ("animate-scene", CHELSEA, "--scene", scene, "--user", user, "--id", "scene-3")

    first = await idle_cli(*words, "--detach", "-o", "json")
    again = await idle_cli(*words, "--detach", "-o", "json")
    other = await idle_cli(*words, "--detach", "--guidance-scale", "0.7")

    assert (first.code, again.code, other.code) == (0, 0, 2)
    assert again.json == first.json
    assert "--id: 'scene-3' already names gen_" in other.err


def animating(*words: str) -> Words:
    return lambda p: (CHELSEA, "--scene", p.json("scene.json", SCENE), *words)


def scene(make: Callable[[Pictures], str]) -> Words:
    return lambda p: (CHELSEA, "--scene", make(p))


def image(make: Callable[[Pictures], str]) -> Words:
    return lambda p: (make(p), "--scene", p.json("scene.json", SCENE))


TAKEN = "--duration, --guidance-scale, --id, --image, --max-cost"
BAD: dict[str, tuple[Words, list[str]]] = {
    "no scene": (lambda _: (CHELSEA,), ["--scene requires an argument"]),
    "a missing scene": (
        scene(lambda _: "/not/there.json"),
        ["--scene: '/not/there.json' can't be read; allowed: a readable JSON file."],
    ),
    "a folder as scene": (scene(lambda p: str(p.folder)), ["can't be read"]),
    "a scene that is no JSON": (
        scene(lambda p: p.file("s.json", b"title: x")),
        ["--scene: s.json is not JSON", "a JSON object"],
    ),
    "a scene that is a picture": (scene(lambda _: CHELSEA), ["--scene: chelsea.jpg is not JSON"]),
    "a scene that is a list": (
        scene(lambda p: p.json("s.json", [SCENE])),
        ["--scene: s.json holds no JSON object"],
    ),
    "a scene of too many bytes": (
        scene(lambda p: p.json("s.json", SCENE | {"narration": "x" * 262_144})),
        ["--scene: s.json has more than 262144 bytes", "at most 262144 bytes of JSON"],
    ),
    "a scene that tells nothing": (
        scene(lambda p: p.json("s.json", {"scene_number": 3, "narration": "words"})),
        ["--scene: a title, a description or an image_prompt is needed."],
    ),
    "a scene nested without end": (
        scene(lambda p: p.file("s.json", b'{"title": ' + b"[" * 50_000 + b"]" * 50_000 + b"}")),
        ["--scene"],
    ),
    "a wrong scene number": (
        scene(lambda p: p.json("s.json", SCENE | {"scene_number": -1})),
        ["--scene.scene_number: -1"],
    ),
    "a missing story": (
        animating("--story", "/not/there.json"),
        ["--story: '/not/there.json' can't be read"],
    ),
    "a story that is no JSON": (animating("--story", SPEECH), ["--story: speech.wav is not JSON"]),
    "a mistyped media id": (animating("--story", "med_x"), ["--story: 'med_x' can't be read"]),
    "a high guidance scale": (
        animating("--guidance-scale", "1.5"),
        ["--guidance-scale: 1.5; allowed: from 0.0 to 1.0."],
    ),
    "a low guidance scale": (animating("--guidance-scale", "-0.1"), ["--guidance-scale: -0.1"]),
    "no number": (animating("--guidance-scale", "nan"), ["--guidance-scale: nan"]),
    "a duration": (animating("--duration", "7"), ["--duration: 7; allowed: one of 5, 10."]),
    "a long negative prompt": (
        animating("--negative-prompt", "x" * 2501),
        ["--negative-prompt: '2501 characters'; allowed: at most 2500 characters."],
    ),
    "a parameter of another operation": (animating("--seed", "4"), ["--seed", TAKEN]),
    "another operation's model": (
        animating("--model", "wavespeed-ai/infinitetalk"),
        ["--model: 'wavespeed-ai/infinitetalk'", KLING],
    ),
    "no callback address": (animating("--callback-url", "ftp://x"), ["--callback-url: 'ftp://x'"]),
    "an image too small": (
        image(lambda p: p.picture("small.png", (299, 400))),
        ["image: 299x400 pixels; allowed: each side from 300 to"],
    ),
    "an image too wide": (
        image(lambda p: p.picture("wide.png", (900, 300))),
        ["aspect 3.00:1", "from 1:2.5 to 2.5:1"],
    ),
    "an image of another format": (
        image(lambda p: p.picture("x.webp", (600, 400))),
        ["image: image/webp; allowed: one of image/jpeg, image/png."],
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_scene_is_refused_with_a_sentence_and_leaves_nothing(
    case: str, idle_cli: Cli, idle_stack: Stack, user: str, pictures: Pictures
) -> None:
    words, sentences = BAD[case]

    ran = await idle_cli("animate-scene", *words(pictures), "--user", user)

    assert ran.code == 2, ran
    assert ran.out == ""
    for sentence in (*sentences, "Nothing was charged."):
        assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert await idle_stack.rows_of(user) == NOTHING
