"""Examples of what crosses to callers, and of what is refused: plain JSON, as it is on the wire."""

from typing import Any

from workflows.contracts.failures import FailureKind, failure

Documents = tuple[dict[str, Any], ...]

GENERATION = "video-studio-order-42"
"""A caller's own workflow id, which is the generation's id then."""
PREDICTION = "4c1f0e8d2b7a4d0c9e5f6a1b3c2d7e80"
ASSET = "ast_ovzwkylhmfzgk3tpoqqho2lsnf"
BATCH_ID = "bat_onxw2zjanvsxg43bm5ssa2ltqa"
PICTURE = {"media_id": "med_mfrggzdfmztwq2lknnwg23tpob"}
VOICE = {"media_id": "med_nbswy3dpeb3w64tmmqqq4ylomq"}
SCENE = {
    "scene_number": 3,
    "title": "The cat at the window",
    "description": "A cat waits at a window while the first rain of autumn falls.",
}


def _but(document: dict[str, Any], *without: str, **other: object) -> dict[str, Any]:
    """A document less some fields, and with others."""
    return {name: part for name, part in document.items() if name not in without} | other


IMAGE_TO_VIDEO: Documents = (
    {
        "user_id": "ann",
        "source": "video_studio",
        "image": PICTURE,
        "prompt": "Steam rises slowly from the cup",
        "duration_s": 5,
        "resolution": "720p",
        "max_cost_usd_micros": 600_000,
    },
    {
        "user_id": "ann",
        "image": {"url": "https://example.com/photo.jpg"},
        "prompt": "a slow zoom",
        "negative_prompt": "people, text",
        "seed": 7,
        "prompt_expansion": False,
        "idempotency_key": "order-42",
        "callback_url": "https://shop.example.com/videos",
    },
)
_VIDEO = IMAGE_TO_VIDEO[0]
NO_IMAGE_TO_VIDEO: Documents = (
    {},
    _but(_VIDEO, "image"),
    _but(_VIDEO, "prompt"),
    _but(_VIDEO, user_id=""),
    _but(_VIDEO, source="mobile_app"),
    _but(_VIDEO, colour="blue"),
    _but(_VIDEO, operation="scene-animation"),
    _but(_VIDEO, duration_s="5"),
    _but(_VIDEO, max_cost_usd_micros=-1),
    _but(_VIDEO, seed=2**63),
    _but(_VIDEO, image={"path": "/etc/passwd"}),
    _but(_VIDEO, image={"media_id": "../photo"}),
    _but(_VIDEO, image={"url": "http://example.com/photo.jpg"}),
    _but(_VIDEO, callback_url="mailto:ann@example.com"),
)

SCENE_ANIMATION: Documents = (
    {
        "user_id": "ann",
        "source": "story_writer",
        "image": PICTURE,
        "scene": SCENE,
        "story_context": {"persona": "A gentle storyteller", "setting": "A small town"},
        "duration_s": 5,
        "guidance_scale": 0.5,
    },
    {
        "user_id": "ann",
        "source": "story_writer",
        "image": PICTURE,
        "scene": {"media_id": "med_onrwk3tffyzs42ttn5xa2dbnza"},
    },
)
_ANIMATION = SCENE_ANIMATION[0]
NO_SCENE_ANIMATION: Documents = (
    _but(_ANIMATION, "scene"),
    _but(_ANIMATION, scene="a calm sea"),
    _but(_ANIMATION, scene=SCENE | {"scene_number": -1}),
    _but(_ANIMATION, guidance_scale="half"),
    _but(_ANIMATION, prompt="a calm sea"),
    _but(_ANIMATION, resolution="720p"),
)

TALKING_AVATAR: Documents = (
    {
        "user_id": "ann",
        "source": "podcast_maker",
        "image": PICTURE,
        "audio": VOICE,
        "prompt": "She speaks calmly into the camera",
        "resolution": "480p",
    },
    {
        "user_id": "ann",
        "source": "podcast_maker",
        "image": PICTURE,
        "audio": VOICE,
        "mask_image": {"media_id": "med_nvqxg2zanfwwcz3febugc5bnza"},
        "scene": SCENE,
        "seed": 7,
    },
)
_AVATAR = TALKING_AVATAR[0]
NO_TALKING_AVATAR: Documents = (
    _but(_AVATAR, "audio"),
    _but(_AVATAR, duration_s=5),
    _but(_AVATAR, mask_image={"path": "mask.png"}),
    _but(_AVATAR, seed="seven"),
)

BATCH: Documents = ({"batch_id": BATCH_ID},)
NO_BATCH: Documents = ({}, {"batch_id": GENERATION}, {"batch_id": None})

RESOLUTION: Documents = (
    {"decision": "adopt", "prediction_id": PREDICTION},
    {"decision": "resubmit"},
    {"decision": "give_up"},
)
NO_RESOLUTION: Documents = (
    {},
    {"decision": "maybe"},
    {"decision": "adopt", "prediction_id": "../predictions"},
)

_LATE = (
    failure(FailureKind.DEADLINE_PASSED, "The provider's job takes longer than its deadline.")
    .while_waiting(GENERATION, "$0.50 stays reserved.")
    .model_dump(mode="json")
)
PROGRESS_FACTS: Documents = (
    {
        "generation_id": GENERATION,
        "stage": "generating",
        "since": "2026-11-22T12:00:04Z",
        "started_at": "2026-11-22T12:00:00Z",
        "expected_s": 45,
        "generating_since": "2026-11-22T12:00:04Z",
        "downloading_since": None,
        "prediction_id": PREDICTION,
        "quoted_usd_micros": 500_000,
        "cost_usd_micros": None,
        "money": "$0.50 is reserved.",
        "failure": None,
    },
    {
        "generation_id": GENERATION,
        "stage": "timed_out",
        "since": "2026-11-22T12:05:04Z",
        "started_at": "2026-11-22T12:00:00Z",
        "expected_s": 45,
        "generating_since": "2026-11-22T12:00:04Z",
        "downloading_since": None,
        "prediction_id": PREDICTION,
        "quoted_usd_micros": 500_000,
        "cost_usd_micros": None,
        "money": "$0.50 stays reserved.",
        "failure": _LATE,
    },
)
NO_PROGRESS_FACTS: Documents = (
    _but(PROGRESS_FACTS[0], "since"),
    _but(PROGRESS_FACTS[0], stage="thinking"),
    _but(PROGRESS_FACTS[0], quoted_usd_micros="$0.50"),
    _but(PROGRESS_FACTS[0], failure={"kind": "internal"}),
)

GENERATION_RESULT: Documents = (
    {
        "generation_id": GENERATION,
        "asset_id": ASSET,
        "prediction_id": PREDICTION,
        "model": "alibaba/wan-2.5/image-to-video",
        "duration_s": 5.04,
        "width": 1280,
        "height": 720,
        "resolution": "720p",
        "sha256": "8c5e3ac4f0f0b1d1b8a4a5c0c1f6f7a0d9b3e2c1a4f5e6d7c8b9a0f1e2d3c4b5",
        "file_size_bytes": 812_345,
        "cost_usd_micros": 500_000,
        "prompt_by": "caller",
        "warnings": ["It is 0.04 s longer than asked."],
    },
)
NO_GENERATION_RESULT: Documents = (
    _but(GENERATION_RESULT[0], "sha256"),
    _but(GENERATION_RESULT[0], cost_usd_micros="$0.50"),
    _but(GENERATION_RESULT[0], warnings="none"),
)

BATCH_RESULT: Documents = ({"completed": 9, "failed": 1, "cancelled": 0},)
NO_BATCH_RESULT: Documents = ({"completed": 9}, _but(BATCH_RESULT[0], completed="nine"))

FAILURE: Documents = (
    failure(
        FailureKind.QUOTA_EXCEEDED,
        "videos: 2 of the 2 of plan Free are used or reserved;"
        " the period ends 2026-12-01 00:00 UTC.",
    ).model_dump(mode="json"),
    failure(FailureKind.INVALID_REQUEST, "image: Field required.").model_dump(mode="json"),
)
NO_FAILURE: Documents = (
    _but(FAILURE[0], "message"),
    _but(FAILURE[0], kind="bad_luck"),
    _but(FAILURE[0], money=0),
)

CALLBACK_MESSAGE: Documents = (
    {
        "type": "generation.stage",
        "timestamp": "2026-11-22T12:00:58Z",
        "data": {
            "generation_id": GENERATION,
            "seq": 10,
            "stage": "completed",
            "status": "completed",
            "at": "2026-11-22T12:00:58Z",
            "operation": "image-to-video",
            "source": "video_studio",
            "idempotency_key": "order-42",
            "quoted_usd_micros": 500_000,
            "cost_usd_micros": 500_000,
            "asset_id": ASSET,
        },
    },
)
NO_CALLBACK_MESSAGE: Documents = (
    _but(CALLBACK_MESSAGE[0], "data"),
    _but(CALLBACK_MESSAGE[0], type="generation.done"),
    _but(CALLBACK_MESSAGE[0], data=_but(CALLBACK_MESSAGE[0]["data"], stage="thinking")),
)
