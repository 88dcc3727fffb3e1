"""Erases a user: histories, predictions and files first, the rows that know of them last.

So whoever is killed on the way has lost nothing that leads to the rest: erasing again goes on, and
erasing what is erased changes nothing. The rows go in one transaction, which makes sure that they
lead to nothing that came up meanwhile. What stays are amounts, under a pseudonym.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from activities.database.pool import Pool
from activities.erasing.histories import Histories
from activities.erasing.rows import (
    Belongings,
    ErasedInPart,
    Prediction,
    StillRunning,
    Uncovered,
    belongings_of,
    erase_rows,
    require_owner,
)
from activities.media.store import MediaStore
from activities.provider.errors import NotFound, ProviderError
from workflows.contracts.ids import is_generation_id

ROUNDS_MAX = 5
"""How often something may come up meanwhile."""

RETENTION = timedelta(days=8)
"""The provider keeps predictions for 7 days (providers.md A11); a clock may be off by one."""

FOLDERS = ("outputs", "posters", "inputs")
"""Where all that was stored under the owner's hash before we began is deleted, named by a row or
not. What came later goes by its row only: an upload, or a paid video, may be under way."""


class Provider(Protocol):
    """What can delete a prediction."""

    async def delete(self, prediction_id: str) -> None:
        """Delete a prediction; raises ProviderError."""
        ...


class Account(NamedTuple):
    """The provider's account that we may ask; others' predictions are left to their retention."""

    base_url: str
    client: Provider


class NotSettling(Exception):
    """Something of the user came up again and again. Stop who starts it, and erase again."""


class Erased(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True)

    pseudonym: str | None
    """What stands for the user from now on; None where nothing was known of them."""
    counts: dict[str, int]
    """What was deleted → how many."""
    remains: tuple[str, ...]
    """What is left somewhere, and why, in sentences."""


class Erasure:
    """Erases users. The pool acts as the owner of the schema."""

    def __init__(
        self, pool: Pool, store: MediaStore, histories: Histories, account: Account | None
    ) -> None:
        self._pool = pool
        self._store = store
        self._histories = histories
        self._account = account

    async def erase(self, user_id: str) -> Erased:
        """Erase one user.

        Raises:
            StillRunning: generations or batches go on; nothing was erased.
            ErasedInPart: the same, begun after histories, predictions or files were erased.
            asyncpg.InsufficientPrivilegeError: the database user may not; nothing was erased.
            HistoriesLeft, NotSettling: it is to be erased again.
            RPCError, MediaError: Temporal or the store gave no answer; the same.
        """
        began = datetime.now(UTC)
        await require_owner(self._pool)
        counts: dict[str, int] = {"histories": 0, "predictions": 0, "files": 0}
        for _ in range(ROUNDS_MAX):
            try:
                return await self._round(user_id, began, counts)
            except Uncovered:
                continue
            except StillRunning as error:
                if any(counts.values()):
                    raise ErasedInPart(error.generations, error.batches) from error
                raise
        raise NotSettling(f"something of the user came up {ROUNDS_MAX} times meanwhile")

    async def _round(self, user_id: str, began: datetime, counts: dict[str, int]) -> Erased:
        """Erase what there is now, and add it to `counts` at once.

        Raises:
            Uncovered: more came up meanwhile.
            StillRunning: what goes on; `counts` tell whether anything was erased.
        """
        belongings = await belongings_of(self._pool, user_id)
        counts["histories"] += await self._histories.delete(
            belongings.runs, belongings.batches, belongings.owner
        )
        forgotten, kept = await self._forget_predictions(belongings.predictions)
        counts["predictions"] += forgotten
        # Temporal and the provider took their time: what began in it may use these inputs.
        await belongings_of(self._pool, user_id)
        counts["files"] += await self._delete_files(belongings, began)
        done = await erase_rows(self._pool, user_id, belongings, counts)
        pseudonym, told = done or (None, counts)
        return Erased(
            pseudonym=pseudonym, counts=told, remains=_remains(belongings, kept, pseudonym)
        )

    async def _forget_predictions(
        self, predictions: tuple[Prediction, ...]
    ) -> tuple[int, dict[str, int]]:
        """Ask the provider to delete them: how many it did, and why how many were kept."""
        forgotten, kept = 0, dict[str, int]()
        since = datetime.now(UTC) - RETENTION
        for each in predictions:
            if each.known_at < since:
                continue
            why = await self._why_kept(each)
            if why is None:
                forgotten += 1
            else:
                kept[why] = kept.get(why, 0) + 1
        return forgotten, kept

    async def _why_kept(self, prediction: Prediction) -> str | None:
        if self._account is None:
            return "WAVESPEED_API_KEY is not set"
        if prediction.base_url != self._account.base_url:
            return "they are at another WAVESPEED_BASE_URL"
        try:
            await self._account.client.delete(prediction.prediction_id)
        except NotFound:
            return None
        except ProviderError as error:
            return str(error).rstrip(".")
        return None

    async def _delete_files(self, belongings: Belongings, began: datetime) -> int:
        keys = set(belongings.files)
        for folder in FOLDERS:
            async for each in self._store.list(f"{folder}/{belongings.owner}"):
                if each.modified_at < began:
                    keys.add(each.key)
        for key in keys:
            await self._store.delete(key)
        return len(keys)


def _remains(
    belongings: Belongings, kept: dict[str, int], pseudonym: str | None
) -> tuple[str, ...]:
    told: list[str] = []
    if pseudonym is not None:
        told.append(
            f"Amounts, times, models and ids stay in the books under {pseudonym}: what was spent"
            " must add up."
        )
        told.append(
            "What was under way when it was cancelled may store a file later: erase again a day"
            " later, which deletes such a file too."
        )
    if belongings.in_doubt:
        told.append(
            f"The outcome of {belongings.in_doubt} submissions is not known: the addresses of the"
            " inputs sent with them, which don't name the user, stay, so that a late bill is"
            " found. What the provider made of them it drops 7 days later."
        )
    told += [
        f"The provider keeps {many} predictions until it drops them, 7 days after they were made:"
        f" {why}."
        for why, many in kept.items()
    ]
    own = [each for each in belongings.runs if not is_generation_id(each)]
    if own:
        told.append(
            f"{len(own)} workflow ids that callers chose themselves stay as they are: an id is"
            " used once for ever."
        )
    told.append(
        "Workflows that others started on Temporal, and that were refused because their request"
        " could not be read, bear nobody's name: their histories go with the namespace's retention."
    )
    told.append(
        "Backups of the database, the media store and Temporal, archived histories and what"
        " receivers of callbacks and the LLM's provider were sent are not reached from here."
    )
    return tuple(told)
