"""From a request to a quote and the provider's inputs; each refusal says field, value, allowed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.ledger.catalogues import load_catalogue
from tests.contracts.conftest import (
    FAST,
    KANDINSKY,
    KLING,
    TALK,
    WAN,
    a_request,
    a_sound,
    an_image,
    entry_of,
)
from workflows.contracts.catalogue import Catalogue
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import AudioFacts, ImageFacts, MediaById
from workflows.contracts.quoting import (
    Quote,
    Scalar,
    check_audio,
    check_image,
    check_max_cost,
    choose,
    output_size,
    provider_inputs,
    quote,
    resolve,
)
from workflows.contracts.requests import SceneAnimationRequest
from workflows.contracts.stories import Scene

SHIPPED = load_catalogue()


def a_scene(guidance_scale: float) -> SceneAnimationRequest:
    image = MediaById(media_id="med_" + "a" * 26)
    return SceneAnimationRequest(
        user_id="ann", image=image, scene=Scene(title="A calm sea"), guidance_scale=guidance_scale
    )


def quoted(
    catalogue: Catalogue,
    image: ImageFacts | None = None,
    audio: AudioFacts | None = None,
    **asked: object,
) -> Quote:
    request = a_request(**asked)
    entry = choose(catalogue, request)
    return quote(catalogue, entry, resolve(entry, request), image or an_image(), audio)


def body(catalogue: Catalogue, **asked: object) -> dict[str, Scalar]:
    request = a_request(**asked)
    entry = choose(catalogue, request)
    return provider_inputs(entry, resolve(entry, request), {"image": "https://x/1.jpg"})


def test_a_quote_names_model_cost_size_and_times(catalogue: Catalogue) -> None:
    told = quoted(catalogue, resolution="480p", duration_s=10)

    assert told.model == WAN
    assert told.cost_usd_micros == 500_000
    assert (told.resolution, told.width, told.height) == ("480p", 854, 480)
    assert (told.duration_s, told.deadline_s, told.expected_s) == (10, 1800, 120)
    assert told.catalogue_version == catalogue.version


def test_what_is_not_given_is_sent_as_the_catalogues_default(catalogue: Catalogue) -> None:
    assert body(catalogue) == {
        "image": "https://x/1.jpg",
        "prompt": "a calm sea",
        "seed": -1,
        "enable_prompt_expansion": True,
        "duration": 5,
        "resolution": "720p",
    }


def test_what_is_given_is_sent_by_the_providers_names(catalogue: Catalogue) -> None:
    sent = body(
        catalogue,
        seed=7,
        prompt_expansion=False,
        duration_s=10,
        resolution="1080p",
        negative_prompt="people",
    )

    assert sent == {
        "image": "https://x/1.jpg",
        "prompt": "a calm sea",
        "negative_prompt": "people",
        "seed": 7,
        "enable_prompt_expansion": False,
        "duration": 10,
        "resolution": "1080p",
    }


@pytest.mark.parametrize(
    ("asked", "true", "cost", "width"),
    [
        ("480p", "512p", 200_000, 910),
        ("720p", "1024p", 600_000, 1820),
        ("1080p", "1024p", 600_000, 1820),
    ],
)
def test_kandinsky_is_quoted_and_sent_with_its_true_size(
    catalogue: Catalogue, asked: str, true: str, cost: int, width: int
) -> None:
    told = quoted(catalogue, model=KANDINSKY, resolution=asked)

    assert (told.resolution, told.cost_usd_micros, told.width) == (true, cost, width)
    assert body(catalogue, model=KANDINSKY, resolution=asked)["resolution"] == true


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"model": "none/such"}, f"model: 'none/such'; allowed: one of ['{WAN}', '{FAST}', "),
        ({"model": KLING}, f"model: '{KLING}'; allowed: one of ['{WAN}', "),
        ({"duration_s": 7}, "duration_s: 7; allowed: one of 5, 10."),
        ({"resolution": "4k"}, "resolution: '4k'; allowed: one of 480p, 720p, 1080p."),
        ({"model": FAST, "resolution": "480p"}, "resolution: '480p'; allowed: one of 720p, 1080p."),
        ({"model": KANDINSKY, "duration_s": 10}, "duration_s: 10; allowed: one of 5."),
        ({"seed": -2}, "seed: -2; allowed: from -1 to 2147483647."),
        ({"seed": 2**31}, "seed: 2147483648; allowed: from -1 to 2147483647."),
        ({"prompt": " \n"}, "prompt: ' \\n'; allowed: 1 to 2000 characters."),
        ({"prompt": "x" * 2001}, "prompt: '2001 characters'; allowed: at most 2000 characters."),
        (
            {"negative_prompt": "x" * 501},
            "negative_prompt: '501 characters'; allowed: at most 500 characters.",
        ),
        (
            {"model": KANDINSKY, "seed": 7},
            "seed: Kandinsky 5 Pro does not take it; it takes duration_s, prompt, resolution.",
        ),
        (
            {"model": KANDINSKY, "audio": {"media_id": "med_" + "b" * 26}},
            "audio: Kandinsky 5 Pro does not take it;",
        ),
    ],
    ids=lambda each: str(each)[:60],
)
def test_a_parameter_is_refused_with_its_value_and_what_is_allowed(
    catalogue: Catalogue, asked: dict[str, object], told: str
) -> None:
    request = a_request(**asked)

    with pytest.raises(RequestRefused) as refused:
        resolve(choose(catalogue, request), request)

    assert refused.value.failure.kind is FailureKind.INVALID_REQUEST
    assert refused.value.failure.message.startswith(told)


@pytest.mark.parametrize(
    ("model", "given_", "told"),
    [
        (WAN, {"mime_type": "image/gif"}, "image: image/gif; allowed: one of image/jpeg, "),
        (WAN, {"size_bytes": 10_485_761}, "image: 10.0 MB; allowed: at most 10.0 MB"),
        (
            WAN,
            {"width": 359, "height": 720},
            "image: 359x720 pixels; allowed: each side from 360 to 2000 pixels.",
        ),
        (
            WAN,
            {"width": 2001},
            "image: 2001x720 pixels; allowed: each side from 360 to 2000 pixels.",
        ),
        (
            KLING,
            {"width": 1300, "height": 500},
            "image: 1300x500 pixels (aspect 2.60:1); allowed: from 1:2.5 to 2.5:1.",
        ),
        (
            WAN,
            {"has_alpha": True},
            "image: with an alpha channel; allowed: a picture without transparency.",
        ),
    ],
    ids=lambda each: str(each)[:50],
)
def test_a_picture_is_refused_with_what_was_measured(
    catalogue: Catalogue, model: str, given_: dict[str, object], told: str
) -> None:
    with pytest.raises(RequestRefused) as refused:
        check_image(entry_of(catalogue, model).image, an_image(**given_))

    assert refused.value.failure.kind is FailureKind.INVALID_MEDIA
    assert refused.value.failure.message.startswith(told)


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"mime_type": "audio/ogg"}, "audio: audio/ogg; allowed: one of audio/wav, audio/mpeg."),
        ({"size_bytes": 15_728_641}, "audio: 15.0 MB; allowed: at most 15.0 MB."),
        ({"duration_s": 2.99}, "audio: 2.99 s long; allowed: from 3 to 30 s."),
        ({"duration_s": 30.01}, "audio: 30.01 s long; allowed: from 3 to 30 s."),
        ({"duration_s": math.nan}, "audio: nan s long; allowed: from 3 to 30 s."),
    ],
    ids=lambda each: str(each)[:50],
)
def test_sound_is_refused_with_what_was_measured(
    catalogue: Catalogue, given_: dict[str, object], told: str
) -> None:
    limits = entry_of(catalogue, WAN).audio
    assert limits is not None

    with pytest.raises(RequestRefused) as refused:
        check_audio(limits, a_sound().model_copy(update=given_))

    assert refused.value.failure.kind is FailureKind.INVALID_MEDIA
    assert refused.value.failure.message == told


def test_limits_are_within_what_is_allowed(catalogue: Catalogue) -> None:
    wan = entry_of(catalogue, WAN)
    assert wan.audio is not None

    check_image(wan.image, an_image(width=360, height=2000, size_bytes=10_485_760))
    check_image(entry_of(catalogue, KLING).image, an_image(width=1250, height=500))
    for duration_s in (3, 30):
        check_audio(wan.audio, a_sound(duration_s))


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_a_number_out_of_its_interval_is_refused_and_never_clamped(
    catalogue: Catalogue, value: float
) -> None:
    kling = entry_of(catalogue, KLING)

    with pytest.raises(RequestRefused, match=r"^guidance_scale: .*; allowed: from 0.0 to 1.0"):
        resolve(kling, a_scene(guidance_scale=value))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_number_in_its_interval_is_sent_as_it_is(catalogue: Catalogue, value: float) -> None:
    kling = entry_of(catalogue, KLING)

    sent = provider_inputs(kling, resolve(kling, a_scene(guidance_scale=value)), {})

    assert sent["guidance_scale"] == value


def test_a_talking_avatar_lasts_and_costs_as_long_as_its_sound(catalogue: Catalogue) -> None:
    talk = entry_of(catalogue, TALK)
    parameters = {"resolution": "480p", "seed": -1}

    short, long = [
        quote(catalogue, talk, parameters, an_image(), a_sound(duration_s))
        for duration_s in (0.5, 600)
    ]

    assert (short.duration_s, short.cost_usd_micros, short.deadline_s) == (0.5, 150_000, 922)
    assert (long.duration_s, long.cost_usd_micros, long.deadline_s) == (600, 18_000_000, 27_900)
    with pytest.raises(RequestRefused, match=r"from 0\.5 to 600 s"):
        quote(catalogue, talk, parameters, an_image(), a_sound(600.1))


def test_a_talking_avatar_needs_sound(catalogue: Catalogue) -> None:
    talk = entry_of(catalogue, TALK)

    with pytest.raises(RequestRefused, match=r"^audio: missing; allowed: a sound file"):
        quote(catalogue, talk, {"resolution": "480p"}, an_image())


def test_sound_does_not_change_the_length_of_a_video_that_has_one(catalogue: Catalogue) -> None:
    assert quoted(catalogue, audio=a_sound(8)).duration_s == 5


@pytest.mark.parametrize(
    ("limit", "allowed"), [(None, True), (500_000, True), (499_999, False), (0, False)]
)
def test_the_callers_own_limit_is_kept(
    catalogue: Catalogue,
    limit: int | None,
    allowed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    request = a_request(max_cost_usd_micros=limit)
    told = quoted(catalogue)

    if allowed:
        check_max_cost(request, told)
    else:
        with pytest.raises(RequestRefused, match=r"the quote is \$0\.50, the limit") as refused:
            check_max_cost(request, told)
        assert refused.value.failure.kind is FailureKind.MAX_COST_EXCEEDED


@given(st.sampled_from([480, 512, 720, 1024, 1080]), st.integers(256, 8192), st.integers(256, 8192))
def test_a_videos_size_is_even_and_has_the_pictures_aspect(
    short_side_px: int, width: int, height: int
) -> None:
    out_width, out_height = output_size(short_side_px, width, height)

    assert out_width % 2 == out_height % 2 == 0
    assert min(out_width, out_height) == short_side_px
    assert (out_width >= out_height) == (width >= height) or out_width == out_height
    assert abs(out_width * height - out_height * width) <= max(width, height) * 1.01


@given(
    st.sampled_from([WAN, FAST, KANDINSKY]),
    st.sampled_from([None, "480p", "720p", "1080p"]),
    st.sampled_from([None, 5, 10]),
    st.one_of(st.none(), st.integers(-1, 2**31 - 1)),
    st.one_of(st.none(), st.booleans()),
)
def test_what_is_sent_has_no_nulls_and_every_default_or_it_is_refused(
    model: str,
    resolution: str | None,
    duration_s: int | None,
    seed: int | None,
    prompt_expansion: bool | None,  # noqa: FBT001 - drawn
) -> None:
    asked = {
        "model": model,
        "resolution": resolution,
        "duration_s": duration_s,
        "seed": seed,
        "prompt_expansion": prompt_expansion,
    }
    entry = entry_of(SHIPPED, model)
    try:
        sent = body(SHIPPED, **asked)
    except RequestRefused as refused:
        field = refused.failure.message.partition(":")[0]
        assert asked[field] is not None
        return

    wanted = {
        parameter.provider_name or name
        for name, parameter in entry.parameters.items()
        if parameter.default is not None or name == "prompt"
    }
    assert None not in sent.values()
    assert wanted <= sent.keys()


@given(st.text(max_size=3000))
def test_a_refusal_is_a_sentence_and_not_a_dump(model: str) -> None:
    request = a_request().model_copy(update={"model": f"x{model}"})

    with pytest.raises(RequestRefused) as refused:
        choose(SHIPPED, request)

    assert len(refused.value.failure.message) < 320
