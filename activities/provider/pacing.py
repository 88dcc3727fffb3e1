"""The pace of paid submissions to one provider account.

    a 429            nobody submits before `not_before`, whoever was told to slow down
    jobs in flight   a place is taken in the transaction that moves a submission to `sending`
    starts a minute  not here: Temporal's server spaces the submit queue (`workers.pools`)

Places are counted, not leased: a submission holds one from `sending` until its generation leaves
`generating`, so whoever dies, parks or ends frees it without a word. An account is known by its
base URL: a rotated key is the same account's.
"""

import random
from datetime import datetime
from typing import NamedTuple

from activities.database.pool import Connection, Pool
from activities.database.statements import statements
from activities.provider.errors import RETRY_AFTER_S_MAX

SQL = statements("activities.provider", "pacing.sql")

SLOW_DOWN_S = 15.0
"""After a 429 that names no time. The limits reset each minute (docs: account-levels), and whoever
comes first then finds out for all."""

_SPREAD = 0.2
"""Those who wait for the same moment come a fifth later at most, and not at once."""


class HeldBack(Exception):
    """Our own pacing holds a submission back: nothing was sent. Submit again later.

    Attributes:
        retry_after_s: when that may go better; None where nobody knows.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AskedToWait(HeldBack):
    """The provider asked for a pause, and it is not over: as if it had said so to this one."""


class Standing(NamedTuple):
    """How an account stands now."""

    taken: int
    """Places."""
    not_before: datetime | None
    """Until when the provider asked for a pause; None where it didn't, or that is over."""


class Pacing:
    """The pace of everybody who submits to `account`, whichever process they are in."""

    def __init__(self, pool: Pool, account: str, jobs_in_flight_max: int | None = None) -> None:
        self._pool = pool
        self._account = account
        self._jobs_in_flight_max = jobs_in_flight_max

    async def slow_down(self, retry_after_s: float | None) -> float:
        """Have everybody wait as the provider's 429 asks; returns for how long, in seconds.

        Without a time it is 15 s ± 20 %; none is longer than 600 s.
        """
        if retry_after_s is None:
            retry_after_s = SLOW_DOWN_S * (1 + _SPREAD * (2 * _chance() - 1))
        wait_s = min(retry_after_s, RETRY_AFTER_S_MAX)
        await self._pool.execute(SQL["slow_down"], self._account, wait_s)
        return wait_s

    async def require_turn(self, connection: Connection) -> None:
        """Raise AskedToWait while the provider's wish for a pause is in force.

        On the sender's connection: senders that each wait for a second one wait for each other.
        """
        pause = await connection.fetchrow(SQL["pause"], self._account)
        if pause is not None:
            raise AskedToWait(
                f"The provider asked for a pause until {pause['not_before']:%H:%M:%S} UTC.",
                pause["left_s"] * (1 + _SPREAD * _chance()) + _chance(),
            )

    async def take_place(self, connection: Connection) -> None:
        """Find a place for one more job, in the transaction that moves it to `sending`.

        The caller has locked its generation; nobody else finds the same place, since the next one
        looks after this transaction has ended.

        Raises:
            HeldBack: as many jobs as may be are in flight. Roll back: nothing was taken.
        """
        if self._jobs_in_flight_max is None:
            return
        await connection.execute(SQL["lock_places"], self._account)
        taken = await connection.fetchval(SQL["places_taken"], self._account)
        if taken >= self._jobs_in_flight_max:
            raise HeldBack(
                f"{taken} of {self._jobs_in_flight_max} jobs are in flight; one has to end first."
            )


async def standing(pool: Pool, account: str) -> Standing:
    """How the account with this base URL stands, for people."""
    taken = await pool.fetchval(SQL["places_taken"], account)
    pause = await pool.fetchrow(SQL["pause"], account)
    return Standing(taken, None if pause is None else pause["not_before"])


def _chance() -> float:
    return random.random()  # noqa: S311 - spreads load, guards nothing
