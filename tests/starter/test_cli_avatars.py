"""`talking-avatar`: what reaches the provider, sound and length of the video, what is refused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import pytest

from tests.starter.conftest import (
    CHELSEA,
    INFINITETALK,
    NOTHING,
    PORTRAIT,
    SPEECH,
    Cli,
    Pictures,
    Stack,
)

SPEECH_S = 4.79
SCENE = {"scene_number": 1, "title": "The guest", "description": "Ada laughs about the first bug"}
STORY = {"podcast_bible": {"host_persona": "a warm host", "tone": "curious"}}

Words = Callable[[Pictures], Sequence[str]]


def lengths_s(path: str) -> dict[str, float]:
    """Seconds of decoded pictures and sound."""
    with av.open(path) as container:
        pictures = sum(1 for _ in container.decode(video=0))
        rate = container.streams.video[0].average_rate
    with av.open(path) as container:
        samples = [(frame.samples, frame.sample_rate) for frame in container.decode(audio=0)]
    assert rate is not None
    return {
        "video": float(pictures / rate),
        "audio": sum(count / sample_rate for count, sample_rate in samples),
    }


async def test_every_parameter_of_an_avatar_reaches_the_provider(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    mask = pictures.picture("mask.png", (512, 512), "L")

    ran = await cli(
        *("talking-avatar", PORTRAIT, SPEECH, "--mask", mask, "--seed", "7"),
        *("--prompt", "she smiles and speaks", "--resolution", "720p"),
        *("--source", "podcast_maker", "--user", user, "--wait", "-o", "json"),
    )

    assert ran.code == 0, ran
    made = ran.json
    assert (made["operation"], made["model"], made["source"]) == (
        "talking-avatar",
        INFINITETALK,
        "podcast_maker",
    )
    assert (made["prompt_by"], made["cost_usd_micros"]) == ("caller", 300_000)
    sent = await stack.sent(made["prediction_id"])
    files = [sent.pop(name) for name in ("image", "audio", "mask_image")]
    assert len(set(files)) == 3
    assert sent == {"prompt": "she smiles and speaks", "seed": 7, "resolution": "720p"}


async def test_an_avatar_lasts_as_long_as_its_sound_which_is_in_it(
    cli: Cli, user: str, outside: Path
) -> None:
    ran = await cli(
        *("talking-avatar", PORTRAIT, SPEECH, "--user", user),
        *("--save", str(outside / "avatar.mp4"), "-o", "json"),
    )

    assert ran.code == 0, ran
    assert ran.json["duration_s"] == pytest.approx(SPEECH_S, abs=0.1)
    found = lengths_s(str(outside / "avatar.mp4"))
    assert found["video"] == pytest.approx(SPEECH_S, abs=0.1)
    assert found["audio"] == pytest.approx(SPEECH_S, abs=0.1)


async def test_without_words_scene_and_story_make_the_prompt_by_rule(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    ran = await cli(
        *("talking-avatar", PORTRAIT, "--audio", SPEECH),
        *("--scene", pictures.json("scene.json", SCENE)),
        *("--story", pictures.json("story.json", STORY)),
        *("--user", user, "--wait", "-o", "json"),
    )

    assert (ran.code, ran.json["prompt_by"]) == (0, "rule"), ran
    sent = await stack.sent(ran.json["prediction_id"])
    assert sent["prompt"] == ran.json["prompt"]
    assert "a warm host" in sent["prompt"]
    assert (sent["seed"], sent["resolution"]) == (-1, "480p")
    assert "mask_image" not in sent


async def test_a_started_second_counts_and_the_sound_stands_second(cli: Cli, user: str) -> None:
    words = ("estimate", PORTRAIT, SPEECH, "--operation", "talking-avatar", "--user", user)

    small = await cli(*words, "-o", "json")
    large = await cli(*words, "--resolution", "720p", "-o", "json")

    assert small.json["quote"]["duration_s"] == pytest.approx(SPEECH_S, abs=0.01)
    assert small.json["quote"]["cost_usd_micros"] == 5 * 30_000
    assert large.json["quote"]["cost_usd_micros"] == 5 * 60_000


async def test_a_short_sound_costs_five_seconds_and_a_long_one_as_long_as_it_is(
    cli: Cli, user: str, pictures: Pictures
) -> None:
    words = ("estimate", PORTRAIT, "--operation", "talking-avatar", "--user", user, "--audio")

    short = await cli(*words, pictures.sound("short.wav", 1), "-o", "json")
    long = await cli(*words, pictures.sound("long.wav", 599.5), "-o", "json")

    assert short.json["quote"]["cost_usd_micros"] == 5 * 30_000
    assert long.json["quote"]["cost_usd_micros"] == 600 * 30_000
    assert long.json["allowed"] is False


async def test_an_estimate_of_an_avatar_without_sound_is_refused(cli: Cli, user: str) -> None:
    ran = await cli("estimate", PORTRAIT, "--operation", "talking-avatar", "--user", user)

    assert ran.code == 2
    assert "--audio: missing. Nothing was charged." in ran.err


async def test_an_estimate_refuses_another_operations_parameter_with_what_is_taken(
    cli: Cli, user: str
) -> None:
    ran = await cli(
        *("estimate", PORTRAIT, SPEECH, "--operation", "talking-avatar"),
        *("--guidance-scale", "0.5", "--user", user),
    )

    assert ran.code == 2
    assert "--guidance-scale: it is not taken; allowed: audio, callback-url, id, image, " in ran.err
    assert "mask, max-cost, model, prompt, resolution, scene, seed, source, story" in ran.err


def speaking(*words: str) -> Words:
    return lambda _: (PORTRAIT, SPEECH, *words)


def sound(make: Callable[[Pictures], str]) -> Words:
    return lambda pictures: (PORTRAIT, make(pictures))


BAD: dict[str, tuple[Words, list[str]]] = {
    "no sound": (lambda _: (PORTRAIT,), ["--audio requires an argument"]),
    "a missing sound": (sound(lambda _: "/not/there.wav"), ["--audio: '/not/there.wav' is not"]),
    "sound that is a picture": (sound(lambda _: CHELSEA), ["--audio: chelsea.jpg is not sound"]),
    "sound too short": (
        sound(lambda p: p.sound("s.wav", 0.4)),
        ["--audio: 0.40 s long; allowed: from 0.5 to 600 s."],
    ),
    "sound too long": (
        sound(lambda p: p.sound("l.wav", 601)),
        ["--audio: 601.00 s long; allowed: from 0.5 to 600 s."],
    ),
    "sound of too many bytes": (
        sound(lambda p: p.sound("b.wav", 560, 24_000, 2)),
        ["--audio: 51.3 MB; allowed: at most 50.0 MB."],
    ),
    "a cut image": (lambda p: (p.cut("cut.jpg"), SPEECH), ["cut.jpg"]),
    "an image too small": (
        lambda p: (p.picture("small.png", (255, 400)), SPEECH),
        ["image: 255x400 pixels; allowed: each side from 256 to 4096 pixels."],
    ),
    "a mask that is no picture": (
        speaking("--mask", SPEECH),
        ["--mask: speech.wav is not a picture"],
    ),
    "a mask too small": (
        lambda p: (PORTRAIT, SPEECH, "--mask", p.picture("m.png", (100, 100))),
        ["--mask: 100x100 pixels; allowed: each side from 256"],
    ),
    "a resolution": (
        speaking("--resolution", "1080p"),
        ["--resolution: '1080p'; allowed: one of 480p, 720p."],
    ),
    "a seed": (speaking("--seed", "-2"), ["--seed: -2; allowed: from -1 to 2147483647"]),
    "a long prompt": (speaking("--prompt", "x" * 2001), ["2001 characters", "at most 2000"]),
    "a story that is no JSON": (speaking("--story", SPEECH), ["--story: speech.wav is not JSON"]),
    "a parameter of another operation": (
        speaking("--guidance-scale", "0.5"),
        ["Unknown option: --guidance-scale", "--mask, --max-cost, --model"],
    ),
    "a duration of its own": (speaking("--duration", "5"), ["Unknown option: --duration"]),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_avatar_is_refused_with_a_sentence_and_leaves_nothing(
    case: str, idle_cli: Cli, idle_stack: Stack, user: str, pictures: Pictures
) -> None:
    words, sentences = BAD[case]

    ran = await idle_cli("talking-avatar", *words(pictures), "--user", user)

    assert ran.code == 2, ran
    assert ran.out == ""
    for sentence in (*sentences, "Nothing was charged."):
        assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert await idle_stack.rows_of(user) == NOTHING
