"""Assets as callers elsewhere may see them; see `documents`."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from activities.library.repository import Asset
from activities.media.store import LINK_S, LINK_S_MAX
from starter.api.documents import ASSETS, GENERATIONS, Document
from starter.assets import FileKind
from workflows.contracts.requests import Operation, Source

AN_ASSET_ID = "ast_5mzq3kcfwnzvj4y2tqk7x6ab2e"

AssetId = Annotated[str, Path(description="The whole id.", examples=[AN_ASSET_ID])]


class AssetLinks(Document):
    """Where to go on from an asset, as paths of this API."""

    self: str
    content: str
    """The video."""
    poster: str
    """A still of it, which is 404 where none could be made."""
    generation: str
    """What it was made by."""


class AssetDocument(Document):
    """One finished video."""

    asset_id: str
    generation_id: str
    user_id: str
    source: Source
    operation: Operation
    model: str
    title: str
    description: str
    prompt: str | None
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    """What the product's own library kept beside a video."""
    favorite: bool
    nsfw: bool
    """Whether the provider flagged it."""
    warnings: tuple[str, ...]
    duration_s: float
    width: int
    height: int
    file_size_bytes: int
    sha256: str
    mime_type: str
    created_at: datetime
    links: AssetLinks

    @classmethod
    def of(cls, asset: Asset) -> "AssetDocument":
        """The document of an asset."""
        path = f"{ASSETS}/{asset.asset_id}"
        return cls(
            **asset.model_dump(exclude={"file_path", "poster_path", "url"}),
            links=AssetLinks(
                self=path,
                content=f"{path}/content",
                poster=f"{path}/poster",
                generation=f"{GENERATIONS}/{quote(asset.generation_id, safe='')}",
            ),
        )


class AssetPage(Document):
    """Assets, newest first."""

    items: tuple[AssetDocument, ...]
    next_cursor: str | None
    """The `cursor` of the next page; null on the last one."""


class LinkRequest(BaseModel):
    """A link to one file of an asset, for somebody without a key."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"expires_s": 3600}]}
    )

    file: FileKind = Field(default="content", description="The video, or a still of it.")
    expires_s: int = Field(
        default=LINK_S, ge=1, le=LINK_S_MAX, description="How long it is good for, in seconds."
    )


class LinkDocument(Document):
    """A link to a file. Whoever has it can read the file until it ends: it is a secret."""

    url: str
    expires_at: datetime
