"""The media store against its rows: files that nobody names, assets whose file is gone, old inputs.

A file is written before the row that names it, so whoever dies between leaves one behind. It is
deleted only where its generation stands in this database and has ended, under the owner that the
key names: a bucket may have files of another deployment, whose users and keys, and so generations,
have the same names, and a database that was restored doesn't know all that it had paid for.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

from activities.database.pool import Pool
from activities.media.keys import digest_in, owner_in
from activities.media.store import MediaStore, StoredObject
from activities.sweeping.findings import Findings
from activities.sweeping.turns import SQL, Turns
from workflows.contracts.sweeps import FindingKind, Swept

OLD = timedelta(days=1)
"""No upload, download or decoding lasts that long."""

INPUTS_KEPT = timedelta(days=7)
"""After their last use (design §6, Wire)."""

INPUTS_MAX = 200
ASSETS_MAX = 300
"""Of one sweep: a head each, eight at a time."""

HEADS_AT_ONCE = 8

LISTED_EVERY = timedelta(hours=1)
"""The whole store is listed: a request per thousand files of a bucket, and each costs money."""

PAGE = 1000

FOLDERS = ("outputs", "posters")
"""Their keys tell the generation. An input's doesn't, and the next upload finds it again."""

PROBES = "probes"
"""What `doctor` puts, gets and deletes; one that was killed leaves its probe."""


class Tidying:
    """Looks through the store and the rows about it."""

    def __init__(self, pool: Pool, store: MediaStore, findings: Findings) -> None:
        self._pool = pool
        self._store = store
        self._findings = findings
        self._turns = Turns(pool)

    async def look(self) -> Swept:
        """One look.

        Raises:
            StoreError: the store gave no answer.
        """
        repaired = {"inputs_expired": await self._expire_inputs()}
        lost = await self._find_lost()
        now: datetime = await self._pool.fetchval("SELECT now()")
        listed_at = await self._turns.time("files")
        if listed_at is None or now - listed_at >= LISTED_EVERY:
            repaired["files_deleted"] = await self._delete_unnamed(now - OLD)
            repaired["files_deleted"] += await self._delete_probes(now - OLD)
            repaired["leftovers_deleted"] = await self._store.sweep_leftovers(OLD.total_seconds())
            await self._turns.leave_time("files", now)
        return Swept(
            repaired={kind: count for kind, count in repaired.items() if count},
            found={FindingKind.LOST_FILE.value: lost} if lost else {},
        )

    async def _expire_inputs(self) -> int:
        """Forget rows, then delete their files: a row never stands without its file.

        Whoever dies between leaves a note of the file, which the next look finds.
        """
        rows = await self._pool.fetch(SQL["unused_inputs"], INPUTS_KEPT, INPUTS_MAX)
        forgotten = sum([await self._forget(row["media_id"]) for row in rows])
        await self._delete_forgotten()
        return forgotten

    async def _forget(self, media_id: str) -> bool:
        """Forget an input's row, unless it is used, or uploaded again, just now."""
        async with self._pool.acquire() as connection, connection.transaction():
            key = await connection.fetchval(SQL["lock_input"], media_id, INPUTS_KEPT)
            if key is None:
                return False
            now: datetime = await connection.fetchval("SELECT now()")
            stored = await self._store.head(key)
            if stored is not None and stored.modified_at > now - OLD:
                return False
            await connection.execute(SQL["forget_input"], media_id)
        return True

    async def _delete_forgotten(self) -> None:
        """Delete the files of forgotten inputs.

        An upload of the same bytes stores the file before its row: one that was stored lately is
        left to it. Between that look and the delete lies a moment in which such a file may be lost;
        the next upload brings it back, since every one stores it anew.
        """
        now: datetime = await self._pool.fetchval("SELECT now()")
        for row in await self._pool.fetch(SQL["forgotten_inputs"], INPUTS_MAX):
            if not row["is_back"]:
                await self._delete(row["key"], now - OLD)
            await self._pool.execute(SQL["forget_note"], row["key"])

    async def _find_lost(self) -> int:
        """Look whether the next assets have their files; all get their turn."""
        rows = await self._pool.fetch(
            SQL["next_assets"], await self._turns.place("assets"), ASSETS_MAX
        )
        places = asyncio.Semaphore(HEADS_AT_ONCE)

        async def is_there(key: str) -> bool:
            async with places:
                return await self._store.head(key) is not None

        there = await asyncio.gather(*(is_there(row["key"]) for row in rows))
        lost = {
            row["asset_id"]: f"the video of {row['generation_id']} is not in the store"
            for row, found in zip(rows, there, strict=True)
            if not found
        }
        among = [row["asset_id"] for row in rows]
        await self._findings.replace(FindingKind.LOST_FILE, lost, among=among)
        await self._findings.forget_deleted_assets()
        await self._turns.leave("assets", among[-1] if len(among) == ASSETS_MAX else "")
        return len(lost)

    async def _delete_unnamed(self, before: datetime) -> int:
        deleted = 0
        for folder in FOLDERS:
            async for page in self._old_files(folder, before):
                for key in await self._unnamed([each.key for each in page]):
                    deleted += await self._delete(key, before)
        return deleted

    async def _unnamed(self, keys: list[str]) -> list[str]:
        """Those that belong to a generation of ours which has ended, and no asset names."""
        # An id holds no secret of the deployment, so another one's may be the same. The owner does.
        places = {key: (owner_in(key), digest_in(key)) for key in keys}
        # Asked for first: an ended one names no more files.
        digests = {digest for _, digest in places.values()}
        ended = await self._pool.fetch(SQL["ended_digests"], list(digests))
        named = await self._pool.fetch(SQL["named_keys"], keys)
        ours = {(row["owner"], row["digest"]) for row in ended if row["owner"] is not None}
        kept = {row["key"] for row in named}
        return [key for key in keys if places[key] in ours and key not in kept]

    async def _old_files(self, folder: str, before: datetime) -> AsyncGenerator[list[StoredObject]]:
        """Files of a folder that were written before a moment, a page at a time."""
        page: list[StoredObject] = []
        async for each in self._store.list(folder):
            if each.modified_at < before:
                page.append(each)
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    async def _delete(self, key: str, before: datetime) -> bool:
        """Delete a file that was not written again since it was listed."""
        stored = await self._store.head(key)
        if stored is None or stored.modified_at >= before:
            return False
        await self._store.delete(key)
        return True

    async def _delete_probes(self, before: datetime) -> int:
        probes = [each async for page in self._old_files(PROBES, before) for each in page]
        for each in probes:
            await self._store.delete(each.key)
        return len(probes)
