"""What replies look like: an example of each, for the OpenAPI document.

All of them are of the same video, so that one can be read after the other. A test holds each
against its model: no field is missing, and none is made up.
"""

from typing import Any

from pydantic import BaseModel

from activities.ledger.usage import Estimate, UsageReport
from starter.api.asset_documents import AN_ASSET_ID, AssetDocument, AssetPage, LinkDocument
from starter.api.batch_documents import BatchDetails, BatchDocument, BatchPage
from starter.api.documents import (
    ASSETS,
    BATCHES,
    GENERATIONS,
    GenerationDocument,
    GenerationPage,
    Resolved,
    UploadDocument,
)
from starter.api.usage import DailyUsage, Plans

_GENERATION_ID = "gen_5mzq3kcfwnzvj4y2tqk7x6ab2e"
_BATCH_ID = "bat_5mzq3kcfwnzvj4y2tqk7x6ab2e"
_PROMPT = "Steam rises from the cup; the camera moves slowly closer."
_MODEL = "alibaba/wan-2.5/image-to-video"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_FILE: dict[str, Any] = {
    "duration_s": 5.0,
    "width": 720,
    "height": 480,
    "file_size_bytes": 718_020,
    "sha256": _SHA256,
    "mime_type": "video/mp4",
}
_STARTED: dict[str, Any] = {
    "generation_id": _GENERATION_ID,
    "operation": "image-to-video",
    "user_id": "ann",
    "source": "video_studio",
    "model": _MODEL,
    "provider": "api.wavespeed.ai",
    "prediction_id": "0b7d1c36d8a94c0f9d0f1f2f5d1c3b2a",
    "prompt": _PROMPT,
    "prompt_by": "caller",
    "resolution": "480p",
    "quoted_usd_micros": 250_000,
    "created_at": "2026-11-23T09:28:14Z",
    "warnings": [],
    "error": None,
}
_LINKS: dict[str, Any] = {
    "self": f"{GENERATIONS}/{_GENERATION_ID}",
    "events": f"{GENERATIONS}/{_GENERATION_ID}/events",
    "content": None,
    "poster": None,
}
_RUNNING: dict[str, Any] = {
    **_STARTED,
    **dict.fromkeys(_FILE),
    "duration_s": 5.0,
    "status": "running",
    "stage": "generating",
    "cost_usd_micros": None,
    "asset_id": None,
    "completed_at": None,
    "links": _LINKS,
    "progress": {
        "stage": "generating",
        "percent": 41,
        "eta_s": 63,
        "elapsed_s": 58,
        "message": "The provider is generating",
        "is_estimate": True,
    },
}
_COMPLETED: dict[str, Any] = {
    **_STARTED,
    **_FILE,
    "status": "completed",
    "stage": "completed",
    "cost_usd_micros": 250_000,
    "asset_id": AN_ASSET_ID,
    "completed_at": "2026-11-23T09:30:21Z",
    "links": {
        **_LINKS,
        "content": f"{ASSETS}/{AN_ASSET_ID}/content",
        "poster": f"{ASSETS}/{AN_ASSET_ID}/poster",
    },
    "progress": None,
}
_ASSET: dict[str, Any] = {
    **_FILE,
    "asset_id": AN_ASSET_ID,
    "generation_id": _GENERATION_ID,
    "user_id": "ann",
    "source": "video_studio",
    "operation": "image-to-video",
    "model": _MODEL,
    "title": "Steam rises from the cup",
    "description": "",
    "prompt": _PROMPT,
    "tags": ["video_studio", "480p"],
    "metadata": {},
    "favorite": False,
    "nsfw": False,
    "warnings": [],
    "created_at": "2026-11-23T09:30:20Z",
    "links": {
        "self": f"{ASSETS}/{AN_ASSET_ID}",
        "content": f"{ASSETS}/{AN_ASSET_ID}/content",
        "poster": f"{ASSETS}/{AN_ASSET_ID}/poster",
        "generation": f"{GENERATIONS}/{_GENERATION_ID}",
    },
}
_USAGE: dict[str, Any] = {
    "user_id": "ann",
    "plan": "pro",
    "period_start": "2026-11-10T00:00:00Z",
    "period_end": "2026-12-10T00:00:00Z",
    "videos_limit": 30,
    "videos_reserved": 0,
    "videos_settled": 1,
    "videos_remaining": 29,
    "cost_limit_usd_micros": 100_000_000,
    "reserved_usd_micros": 0,
    "settled_usd_micros": 250_000,
    "remaining_usd_micros": 99_750_000,
}
_SHARE: dict[str, Any] = {
    "model": _MODEL,
    "source": "video_studio",
    "videos_reserved": 0,
    "videos_settled": 1,
    "reserved_usd_micros": 0,
    "settled_usd_micros": 250_000,
}
_ESTIMATE: dict[str, Any] = {
    "quote": {
        "model": _MODEL,
        "catalogue_version": "2026-11-22",
        "cost_usd_micros": 250_000,
        "duration_s": 5.0,
        "resolution": "480p",
        "width": 720,
        "height": 480,
        "deadline_s": 600,
        "expected_s": 120,
    },
    "allowed": True,
    "refusal": None,
    "usage": _USAGE,
}
_BATCH: dict[str, Any] = {
    "batch_id": _BATCH_ID,
    "status": "running",
    "user_id": "ann",
    "source": "story_writer",
    "size": 1,
    "waiting": 0,
    "running": 1,
    "parked": 0,
    "completed": 0,
    "failed": 0,
    "cancelled": 0,
    "percent": 0,
    "message": "1 running of 1",
    "max_parallel": 2,
    "max_cost_usd_micros": 2_000_000,
    "quoted_usd_micros": 210_000,
    "cost_usd_micros": 0,
    "redo_of": None,
    "created_at": "2026-11-23T09:28:14Z",
    "completed_at": None,
    "error": None,
    "links": {"self": f"{BATCHES}/{_BATCH_ID}"},
}
_ITEM: dict[str, Any] = {
    "position": 1,
    "generation_id": _GENERATION_ID,
    "operation": "scene-animation",
    "status": "running",
    "stage": "generating",
    "title": "The lighthouse",
    "duration_s": 5.0,
    "asset_id": None,
    "quoted_usd_micros": 210_000,
    "cost_usd_micros": None,
    "error": None,
    "links": _LINKS,
}

REPLIES: dict[type[BaseModel], list[dict[str, Any]]] = {
    GenerationDocument: [_RUNNING, _COMPLETED],
    GenerationPage: [{"items": [_COMPLETED], "next_cursor": None}],
    Resolved: [{"outcome": "The prediction is adopted.", "generation": _RUNNING}],
    UploadDocument: [
        {
            "media_id": "med_5mzq3kcfwnzvj4y2tqk7x6ab2e",
            "role": "image",
            "facts": {
                "kind": "image",
                "mime_type": "image/jpeg",
                "size_bytes": 139_512,
                "sha256": _SHA256,
                "width": 600,
                "height": 400,
                "has_alpha": False,
            },
        }
    ],
    AssetDocument: [_ASSET],
    AssetPage: [{"items": [_ASSET], "next_cursor": None}],
    LinkDocument: [
        {
            "url": "https://videos.example.com/v1/media/token",
            "expires_at": "2026-11-23T10:30:00Z",
        }
    ],
    Estimate: [_ESTIMATE],
    UsageReport: [{**_USAGE, "shares": [_SHARE], "stopped_by": None}],
    DailyUsage: [
        {
            "since": "2026-10-25",
            "until": "2026-11-23",
            "days": [{"day": "2026-11-23", **_SHARE}],
        }
    ],
    Plans: [
        {
            "items": [
                {
                    "plan": "free",
                    "title": "Free",
                    "videos_limit": 2,
                    "cost_limit_usd_micros": 2_000_000,
                }
            ]
        }
    ],
    BatchDocument: [_BATCH],
    BatchDetails: [{**_BATCH, "items": [_ITEM]}],
    BatchPage: [{"items": [_BATCH], "next_cursor": None}],
}
"""By model."""
