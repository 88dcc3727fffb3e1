"""Admission: from a request to its price, and from its price to held quota and frozen terms."""

from dataclasses import dataclass

from activities.callbacks.rules import require_callback
from activities.callbacks.settings import CallbackSettings
from activities.database.pool import Connection
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.pricing import Priced, price
from activities.ledger.settings import LedgerSettings
from activities.media.inputs import Inputs
from activities.provider.identity import ProviderIdentity
from workflows.contracts.catalogue import Catalogue, TextParameter
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.quoting import Parameters, provider_inputs
from workflows.contracts.requests import GenerationRequest
from workflows.contracts.stages import TERMINAL
from workflows.contracts.terms import Terms


@dataclass(frozen=True)
class Admission:
    """What a reservation is made of: the catalogue, the inputs, the provider that will be paid."""

    catalogue: Catalogue
    inputs: Inputs
    settings: LedgerSettings
    provider: ProviderIdentity
    heartbeat_timeout_s: int
    callbacks: CallbackSettings

    async def price(self, request: GenerationRequest) -> Priced:
        """Validate and price; fetches and decodes files, so hold no connection meanwhile.

        Raises:
            RequestRefused, MediaError: as `pricing.price`; or its callback_url can't be told.
        """
        await require_callback(self.inputs.pool, request, self.callbacks)
        return await price(self.catalogue, self.inputs, request, self.provider.name)

    async def held(self, connection: Connection, generation_id: str) -> Terms | None:
        """The terms of an earlier run, attempt or batch; None where nothing is held yet.

        Raises:
            RequestRefused: `already_closed`: the hold was ended.
        """
        held = await money.reservation_of(connection, generation_id)
        if held is None:
            return None
        if held.state != "reserved":
            raise RequestRefused(
                FailureKind.ALREADY_CLOSED, f"The generation has ended before: it is {held.state}."
            )
        return (await generations.work_of(connection, generation_id)).terms

    async def hold(
        self, connection: Connection, generation_id: str, request: GenerationRequest, priced: Priced
    ) -> Terms:
        """Hold one video and the cost for a claimed generation, and freeze its terms.

        Another attempt may be here too: whoever comes second finds what the first has held. Where
        this raises, the caller's transaction must be rolled back.

        Raises:
            RequestRefused: as `repository.hold`; `already_closed`: the generation has ended.
        """
        if await generations.lock(connection, generation_id) in TERMINAL:
            # Another attempt was refused, and closed it, while this one was held up.
            raise RequestRefused(FailureKind.ALREADY_CLOSED, "The generation has ended meanwhile.")
        if (held := await self.held(connection, generation_id)) is not None:
            return held
        cost_usd_micros = priced.quote.cost_usd_micros
        await money.hold(connection, generation_id, request.user_id, cost_usd_micros, self.settings)
        entry = priced.entry
        terms = Terms(
            generation_id=generation_id,
            operation=request.operation,
            source=request.source,
            user_hash=await generations.user_hash(connection, request.user_id),
            provider=self.provider.name,
            base_url=self.provider.base_url,
            key_fingerprint=self.provider.key_fingerprint,
            provider_path=entry.provider_path,
            parameters={
                name: value
                for name, value in priced.parameters.items()
                if not isinstance(entry.parameters[name], TextParameter)
            },
            quote=priced.quote,
            reserved_at=await connection.fetchval("SELECT now()"),
            prompt_characters_max=entry.prompt_characters_max,
            callback=request.callback_url is not None,
            fairness_weight=(
                await money.plan_of(connection, request.user_id, self.settings)
            ).fairness_weight,
            heartbeat_timeout_s=self.heartbeat_timeout_s,
            local_steps=True,
        )
        await connection.execute(
            generations.SQL["set_terms"],
            generation_id,
            terms.model_dump(mode="json"),
            priced.quote.model,
            {role: found.media_id for role, found in priced.inputs.items()},
            provider_inputs(entry, _but_prompt(priced.parameters), {}),
        )
        return terms


def _but_prompt(parameters: Parameters) -> Parameters:
    """The prompt is made later, and once."""
    return {name: value for name, value in parameters.items() if name != "prompt"}
