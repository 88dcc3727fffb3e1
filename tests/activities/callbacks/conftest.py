"""A receiver, a deployment that may call it, and the generations that it is told of."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr
from temporalio.testing import ActivityEnvironment

from activities.callbacks.activities import CallbackActivities
from activities.callbacks.repository import Callbacks
from activities.callbacks.rules import callback_policy
from activities.callbacks.settings import CallbackSettings
from activities.callbacks.signing import Signers
from activities.callbacks.telling import Teller
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.generations.notices import Notices
from tests.activities.callbacks.listening import Listener, listening
from tests.activities.conftest import a_request, settings_for_database
from workflows.contracts.activities import ForGeneration
from workflows.contracts.callbacks import Delivery
from workflows.contracts.failures import Failure, FailureKind, failure
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(32)).decode()


def settings_with(key: str = KEY, *, private: bool = True) -> CallbackSettings:
    return CallbackSettings(secret_key=SecretStr(key), allow_private_callbacks=private)


@dataclass
class Office:
    """One process that tells receivers, and the generations."""

    pool: Pool
    listener: Listener
    notices: Notices
    signers: Signers
    settings: CallbackSettings

    def activities(self, *, total_timeout_s: float = 15.0) -> CallbackActivities:
        policy = replace(callback_policy(self.settings), total_timeout_s=total_timeout_s)
        return CallbackActivities(
            callbacks=Callbacks(self.pool),
            notices=self.notices,
            teller=Teller(self.signers, policy),
        )

    async def accepted(self, generation_id: str = "gen_one", **asked: object) -> str:
        """A generation with a receiver; its first event is there."""
        request = a_request(**{"callback_url": self.listener.url, **asked})
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.claim(connection, generation_id, request)
        return generation_id

    async def goes_on(
        self,
        *stages: Stage,
        generation_id: str = "gen_one",
        data: dict[str, object] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Each stage in a transaction of its own, as the activities do."""
        for stage in stages:
            async with self.pool.acquire() as connection, connection.transaction():
                assert await generations.record(
                    connection, generation_id, stage, data, failure=failure
                )


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as receiver:
        yield receiver


@pytest.fixture
async def secret(database: Pool) -> str:
    """The secret of the source `api`."""
    return (await Signers(database, settings_with()).make(Source.API)).text


@pytest.fixture
async def office(
    database: Pool, database_url: str, listener: Listener, secret: str
) -> AsyncIterator[Office]:
    settings = settings_with()
    async with Notices(settings_for_database(database_url)) as notices:
        yield Office(database, listener, notices, Signers(database, settings), settings)


TASK = ForGeneration(generation_id="gen_one")
FAILED = failure(FailureKind.PROVIDER_FAILED, "The provider's job failed.")


async def deliver(activities: CallbackActivities) -> Delivery:
    return await ActivityEnvironment().run(activities.deliver, TASK)


async def row_of(pool: Pool, generation_id: str = "gen_one") -> dict[str, object]:
    (found,) = await Callbacks(pool).find(generation_id=generation_id)
    return found.model_dump()
