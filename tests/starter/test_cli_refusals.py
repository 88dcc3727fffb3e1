"""What can't be done as asked: exit code, sentence, money, and that nothing was left."""

from collections.abc import Callable, Sequence

import pytest

from tests.starter.conftest import (
    CHELSEA,
    COFFEE,
    KANDINSKY,
    NOTHING,
    SPEECH,
    Cli,
    Pictures,
    Stack,
)

Words = Callable[[Pictures], Sequence[str]]


def image(make: Callable[[Pictures], str]) -> Words:
    return lambda pictures: (make(pictures), "--prompt", "x")


def audio(make: Callable[[Pictures], str]) -> Words:
    return lambda pictures: (COFFEE, "--prompt", "x", "--audio", make(pictures))


def flags(*words: str) -> Words:
    return lambda _: (COFFEE, *(words if "--prompt" in words else ("--prompt", "x", *words)))


BAD: dict[str, tuple[Words, list[str]]] = {
    "no such file": (image(lambda _: "/not/there.jpg"), ["image: '/not/there.jpg' is not a file"]),
    "a folder": (image(lambda p: str(p.folder)), ["is not a file", "allowed: a readable file"]),
    "no image": (image(lambda _: SPEECH), ["speech.wav is not a picture", "JPEG, PNG, WebP"]),
    "a cut image": (image(lambda p: p.cut("cut.jpg")), ["cut.jpg", "allowed: one complete"]),
    "an empty image": (image(lambda p: p.file("empty.jpg", b"")), ["empty.jpg"]),
    "an image of too many bytes": (image(lambda p: p.noise("big.png", 1900)), ["at most 10.0 MB"]),
    "an image too small": (image(lambda _: CHELSEA), ["451x300 pixels", "from 360 to 2000 pixels"]),
    "an image too wide": (
        image(lambda p: p.picture("wide.png", (2400, 400))),
        ["2400x400 pixels", "from 360 to 2000 pixels"],
    ),
    "an image with alpha": (
        image(lambda p: p.picture("alpha.png", (600, 400), "RGBA")),
        ["with an alpha channel", "without transparency"],
    ),
    "an unsafe URL": (image(lambda _: "http://example.com/a.jpg"), ["not https", "https URLs"]),
    "a URL of this machine": (image(lambda _: "https://127.0.0.1/a.jpg"), ["this machine"]),
    "another's media id": (image(lambda _: "med_" + "a" * 26), ["not a media id of this user"]),
    "an empty prompt": (flags("--prompt", ""), ["--prompt: ''", "1 to 2000 characters"]),
    "a blank prompt": (flags("--prompt", "  "), ["--prompt: '  '", "1 to 2000 characters"]),
    "a long prompt": (flags("--prompt", "x" * 2001), ["2001 characters", "at most 2000"]),
    "a long negative prompt": (
        flags("--negative-prompt", "x" * 501),
        ["--negative-prompt: '501 characters'", "at most 500"],
    ),
    "a duration": (flags("--duration", "7"), ["--duration: 7; allowed: one of 5, 10."]),
    "a model's other duration": (
        flags("--model", KANDINSKY, "--duration", "10"),
        ["--duration: 10; allowed: one of 5."],
    ),
    "no whole duration": (
        flags("--duration", "5.5"),
        ["--duration: '5.5'; allowed: a whole number"],
    ),
    "a resolution": (
        flags("--resolution", "4k"),
        ["--resolution: '4k'; allowed: one of 480p, 720p, 1080p."],
    ),
    "a seed": (flags("--seed", "-2"), ["--seed: -2; allowed: from -1 to 2147483647"]),
    "a huge seed": (flags("--seed", "9" * 30), ["--seed: 999"]),
    "a parameter that the model doesn't take": (
        flags("--model", KANDINSKY, "--seed", "4"),
        ["--seed: Kandinsky 5 Pro does not take it; it takes duration, prompt, resolution."],
    ),
    "sound that the model doesn't take": (
        lambda _: (COFFEE, "--prompt", "x", "--model", KANDINSKY, "--audio", SPEECH),
        ["--audio: Kandinsky 5 Pro does not take it"],
    ),
    "no sound": (audio(lambda _: COFFEE), ["--audio: coffee.jpg is not sound", "MP3, WAV"]),
    "sound too short": (audio(lambda p: p.sound("s.wav", 1)), ["1.00 s long", "from 3 to 30 s"]),
    "sound too long": (audio(lambda p: p.sound("l.wav", 31)), ["31.00 s long", "from 3 to 30 s"]),
    "sound of too many bytes": (
        audio(lambda p: p.sound("b.wav", 29, 96_000, 3)),
        ["at most 15.0 MB"],
    ),
    "an unknown model": (flags("--model", "acme/x"), ["--model: 'acme/x'", KANDINSKY]),
    "an unknown source": (flags("--source", "tv"), ['"tv"', '"story_writer"']),
    "no amount": (flags("--max-cost", "cheap"), ["--max-cost: 'cheap'", "such as 0.60"]),
    "a negative amount": (flags("--max-cost", "-1"), ["--max-cost: '-1'"]),
    "no time": (flags("--timeout", "-1"), ["--timeout: -1; allowed: 0 seconds or more"]),
    "no folder": (flags("--save", "/not/there/x.mp4"), ["'/not/there' does not exist"]),
    "saving without waiting": (flags("--save", "/tmp", "--detach"), ["--save", "with --wait"]),
    "an unknown flag": (flags("--frobnicate"), ["--frobnicate"]),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_with_a_sentence_and_leaves_nothing(
    case: str, cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    words, sentences = BAD[case]
    submits = await stack.submits()

    ran = await cli("image-to-video", *words(pictures), "--user", user)

    assert ran.code == 2, ran
    assert ran.out == ""
    for sentence in (*sentences, "Nothing was charged."):
        assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert ran.err.count("\n") == 2, "a sentence and a hint"
    assert await stack.rows_of(user) == NOTHING
    assert await stack.submits() == submits


async def test_a_refusal_as_json_is_one_object_with_kind_message_hint_and_money(
    cli: Cli, user: str
) -> None:
    ran = await cli(
        "image-to-video", COFFEE, "--prompt", "x", "--duration", "7", "--user", user, "-o", "json"
    )

    assert ran.code == 2
    assert ran.err == ""
    assert ran.json == {
        "error": {
            "kind": "invalid_request",
            "message": "--duration: 7; allowed: one of 5, 10.",
            "hint": "Mend the request and start it again.",
            "money": "Nothing was charged.",
        }
    }


async def test_a_missing_prompt_is_named(cli: Cli) -> None:
    ran = await cli("image-to-video", COFFEE)

    assert ran.code == 2
    assert "--prompt" in ran.err


async def test_an_unknown_verb_is_answered_with_the_nearest_one(cli: Cli) -> None:
    ran = await cli("lisst")

    assert ran.code == 2
    assert 'Did you mean "list"?' in ran.err


async def test_an_unknown_plan_is_refused_with_those_there_are(cli: Cli, user: str) -> None:
    ran = await cli("plans", "assign", user, "gold")

    assert ran.code == 2
    assert "plan: 'gold'; allowed: free, basic, pro, enterprise." in ran.err


async def test_an_unknown_id_is_refused(cli: Cli) -> None:
    for verb in ("show", "watch", "resume", "cancel", "download", "open"):
        ran = await cli(verb, "gen_nobody")

        assert ran.code == 2, verb
        assert "ID: no generation begins with 'gen_nobody'." in ran.err


async def test_a_time_that_is_none_is_refused_with_examples(cli: Cli) -> None:
    ran = await cli("list", "--since", "yesterday")

    assert ran.code == 2
    assert "--since: 'yesterday'; allowed: 45m, 3h, 2d" in ran.err


async def test_two_decisions_at_once_are_refused(cli: Cli) -> None:
    ran = await cli("resolve", "gen_x", "--resubmit", "--give-up")

    assert ran.code == 2
    assert "One decision is needed; allowed: --adopt PREDICTION, --resubmit, --give-up." in ran.err
