"""What users do, by the clients that do it.

Each act gives as many rows whoever it is done for, or reading those would be what is measured.
"""

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool
from activities.database.settings import DatabaseSettings
from activities.generations.reading import Filters, Reader
from activities.ledger.activities import LedgerActivities
from activities.ledger.usage import report_of, usage_of
from activities.library import repository as library
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.settings import ProviderSettings
from benchmarks.growth_rows import LEDGER, SQL, picture_of
from workers.wiring import Settings, wire
from workflows.contracts.activities import Reserve
from workflows.contracts.ids import generation_id_for
from workflows.contracts.requests import ImageToVideoRequest, Operation, Source
from workflows.contracts.stages import Status

PAGE = 10
"""All that a small user has."""
FULL_PAGE = 100
"""What clients ask for by default."""
ALL = 10_000
"""No fewer than anybody has: there is no largest page, whoever wants all may ask for them."""
_BEGINNING = len("gen_") + 8

Act = Callable[[str], Awaitable[object]]
"""Takes a user id."""


@dataclass(frozen=True)
class Acts:
    """Everything that is timed, on one connection."""

    pool: Pool
    store: MediaStore
    ledger: LedgerActivities
    oldest: Mapping[str, tuple[str, str]]
    """By user, the second oldest generation and its asset: the oldest one is the last page."""

    def by_group(self) -> dict[str, dict[str, Act]]:
        """The acts of a figure, by name."""
        return {
            "list": {
                "newest": self._list(Filters(limit=PAGE)),
                "last page": self._last_page,
                **{each.value: self._list(Filters(status=each, limit=1)) for each in _STATUSES},
                "operation": self._list(Filters(operation=_ODD, limit=1)),
                "source": self._list(Filters(source=Source.PODCAST_MAKER, limit=1)),
                "one": self._one,
                "assets": self._assets(limit=PAGE),
                "assets of an operation": self._assets(operation="talking-avatar", limit=1),
                "assets of a source": self._assets(source="podcast_maker", limit=1),
            },
            "search": {
                "a frequent word": self._assets(words="zoom", limit=PAGE),
                "a word in 12": self._assets(words="buoy", limit=PAGE),
                "a word in 33": self._assets(words="gull", limit=PAGE),
                "a rare word": self._assets(words="lighthouse", limit=PAGE),
                "all with a rare word": self._assets(words="lighthouse", limit=ALL),
                "all with a word of one": self._assets(words="word5", limit=ALL),
                "all with a word that none has": self._assets(words="submarine", limit=ALL),
                "a rare tag": self._assets(tag="scene_3", limit=PAGE),
                "all with a rare tag": self._assets(tag="scene_3", limit=ALL),
                "last page": self._last_found,
            },
            "pages": {
                "newest": self._list(Filters(limit=FULL_PAGE)),
                "all failed": self._list(Filters(status=Status.FAILED, limit=ALL)),
                "all of an operation": self._list(Filters(operation=_ODD, limit=ALL)),
                "newest assets": self._assets(limit=FULL_PAGE),
                "all assets of a source": self._assets(source="podcast_maker", limit=ALL),
                "a frequent word": self._assets(words="zoom", limit=FULL_PAGE),
                "all with a rare word": self._assets(words="lighthouse", limit=ALL),
            },
            "reserve": {"reserve": self.reserve},
            "usage": {"limits": self._limits},
            "shares": {"report": self._report},
        }

    def _list(self, filters: Filters) -> Act:
        reader = Reader(self.pool, self.store)

        async def act(user: str) -> object:
            return await reader.find(filters._replace(user_id=user))

        return act

    async def _last_page(self, user: str) -> object:
        reader = Reader(self.pool, self.store)
        return await reader.find(Filters(user, after=self.oldest[user][0], limit=1))

    async def _last_found(self, user: str) -> object:
        after = self.oldest[user][1]
        return await library.find(
            self.pool, self.store, user_id=user, words="zoom", after=after, limit=1
        )

    async def _one(self, user: str) -> object:
        """`show` by a beginning, with its events and its asset."""
        reader = Reader(self.pool, self.store)
        generation_id = await reader.find_id(self.oldest[user][0][:_BEGINNING], user)
        await reader.read(generation_id, user)
        return await reader.events(generation_id, 0, user)

    def _assets(self, *, limit: int, **which: Any) -> Act:  # noqa: ANN401 - as `library.find`
        async def act(user: str) -> object:
            return await library.find(self.pool, self.store, user_id=user, limit=limit, **which)

        return act

    async def reserve(self, user: str) -> str:
        """The whole activity: claim, price, admission; the generation's id."""
        key = uuid.uuid4().hex
        request = ImageToVideoRequest.model_validate(
            {
                "user_id": user,
                "image": {"media_id": picture_of(user)},
                "prompt": "a slow zoom over the harbour",
                "idempotency_key": key,
            }
        )
        task = Reserve(generation_id=generation_id_for(user, key), request=request)
        await ActivityEnvironment().run(self.ledger.reserve, task)
        return task.generation_id

    async def _limits(self, user: str) -> object:
        async with self.pool.acquire() as connection:
            return await usage_of(connection, user, LEDGER)

    async def _report(self, user: str) -> object:
        catalogue = self.ledger.admission.catalogue
        async with self.pool.acquire() as connection:
            return await report_of(connection, user, LEDGER, catalogue)


_STATUSES = (Status.COMPLETED, Status.FAILED, Status.RUNNING)
_ODD = Operation.TALKING_AVATAR
"""Of which a small user has one, and others ten."""


@asynccontextmanager
async def acts_on(dsn: str, folder: Path) -> AsyncGenerator[Acts]:
    """The acts on the database at `dsn`, wired as a worker is; the provider is never asked."""
    media = MediaSettings(media_url=(folder / "media").as_uri())
    settings = Settings(
        database=DatabaseSettings(database_url=SecretStr(dsn), database_connections_max=1),
        media=media,
        provider=ProviderSettings.model_validate(
            {"api_key": SecretStr("none"), "base_url": "http://127.0.0.1:9/api/v3"}
        ),
        ledger=LEDGER,
    )
    async with wire(settings) as wired:
        pool = wired.ledger.pool
        oldest = {
            row["user_id"]: (row["generation_id"], row["asset_id"])
            for row in await pool.fetch(SQL["oldest"])
        }
        yield Acts(pool, MediaStore.from_url(media.media_url), wired.ledger, oldest)
