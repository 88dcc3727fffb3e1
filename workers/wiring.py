"""The composition root: which implementations the activities get, made once per process."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime

from activities.batches.activities import BatchActivities
from activities.batches.admission import BatchAdmission
from activities.callbacks.activities import CallbackActivities
from activities.callbacks.repository import Callbacks
from activities.callbacks.rules import callback_policy
from activities.callbacks.settings import CallbackSettings
from activities.callbacks.signing import Signers
from activities.callbacks.telling import Teller
from activities.database.pool import Pool, connect
from activities.database.settings import DatabaseSettings
from activities.encryption.converter import data_converter
from activities.encryption.settings import EncryptionSettings
from activities.generations.notices import Notices
from activities.ledger.activities import LedgerActivities
from activities.ledger.admission import Admission
from activities.ledger.bills import Bills
from activities.ledger.catalogues import load_catalogue
from activities.ledger.settings import LedgerSettings
from activities.library.activities import LibraryActivities
from activities.media.activities import MediaActivities
from activities.media.decoder_processes import Decoders
from activities.media.downloads import Downloads
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.metrics.instruments import Instruments
from activities.prompts.activities import PromptActivities
from activities.prompts.llm import Llm
from activities.prompts.settings import LlmSettings
from activities.prompts.writing import Writer
from activities.provider.activities import ProviderActivities
from activities.provider.polling import interval_s
from activities.provider.reconciliation import Reconciliation
from activities.provider.settings import ProviderSettings
from activities.provider.staging import Staging
from activities.provider.submissions import Submissions, running_and_suspended_s
from activities.provider.wavespeed import WaveSpeed
from activities.sweeping.activities import SweepActivities
from activities.sweeping.findings import Findings
from activities.sweeping.settings import SweepSettings
from activities.sweeping.strays import Strays
from activities.sweeping.tidying import Tidying
from activities.tracing.interceptors import trace_interceptors
from workers.settings import WorkerSettings
from workflows.contracts.queues import TaskQueue

Activity = Callable[..., Any]


# A type checker does not know that the environment gives the required fields.
def _database_settings() -> DatabaseSettings:
    return DatabaseSettings()  # pyright: ignore[reportCallIssue]


def _media_settings() -> MediaSettings:
    return MediaSettings()  # pyright: ignore[reportCallIssue]


@dataclass(frozen=True)
class Settings:
    """All settings of a worker process, parsed from the environment once."""

    database: DatabaseSettings = field(default_factory=_database_settings)
    media: MediaSettings = field(default_factory=_media_settings)
    provider: ProviderSettings = field(default_factory=ProviderSettings)
    llm: LlmSettings = field(default_factory=LlmSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    callbacks: CallbackSettings = field(default_factory=CallbackSettings)
    sweeps: SweepSettings = field(default_factory=SweepSettings)


@dataclass(frozen=True)
class Activities:
    """Every activity of the application, ready to be registered."""

    ledger: LedgerActivities
    prompts: PromptActivities
    provider: ProviderActivities
    media: MediaActivities
    library: LibraryActivities
    callbacks: CallbackActivities
    batches: BatchActivities
    sweeps: SweepActivities

    def by_queue(self) -> dict[TaskQueue, Sequence[Activity]]:
        """Which queue serves which activity; each stands in exactly one."""
        return {
            TaskQueue.GENERATIONS: (
                self.ledger.record_usage,
                self.ledger.park,
                self.ledger.close,
                self.provider.check,
                self.provider.withdraw,
                self.library.save,
                self.callbacks.give_up,
                self.batches.look,
                self.batches.list_waiting,
                self.batches.list_started,
                self.batches.close_waiting,
                self.batches.close,
                self.sweeps.restart_gone,
                self.sweeps.read_bills,
                self.sweeps.find_strays,
                self.sweeps.audit,
                self.sweeps.record,
            ),
            TaskQueue.SUBMIT: (self.provider.submit,),
            TaskQueue.RECONCILE: (self.provider.reconcile, self.provider.resolve),
            TaskQueue.POLL: (self.prompts.build_prompt, self.provider.poll, self.callbacks.deliver),
            TaskQueue.MEDIA: (
                self.ledger.reserve,
                self.batches.reserve,
                self.provider.stage_inputs,
                self.media.download,
                self.sweeps.tidy_media,
            ),
        }

    def registered_on(self, queue: TaskQueue) -> list[Activity]:
        """What a worker of this queue has to know: where workflows run, local activities too."""
        local = (self.prompts.build_prompt,) if queue is TaskQueue.GENERATIONS else ()
        return [*self.by_queue()[queue], *local]


SPARE_CONNECTIONS = 3
"""With which senders and reconcilers, who each hold one connection, write down what they learn."""


class TooFewConnections(ValueError):
    """The settings let a worker's slots hold all of its database connections for good."""


def require_connections(settings: Settings, queues: Sequence[TaskQueue]) -> None:
    """Raise TooFewConnections where those who hold one could wait for each other's second one."""
    slots = {
        TaskQueue.SUBMIT: ("STILLMOTION_SUBMIT_SLOTS", settings.worker.submit_slots),
        TaskQueue.RECONCILE: ("STILLMOTION_RECONCILE_SLOTS", settings.worker.reconcile_slots),
    }
    holding = [slots[queue] for queue in slots if queue in queues]
    needed = sum(count for _, count in holding) + SPARE_CONNECTIONS
    given = settings.database.database_connections_max
    if holding and given < needed:
        named = ", ".join(f"{name} is {count}" for name, count in holding)
        raise TooFewConnections(
            f"STILLMOTION_DATABASE_CONNECTIONS_MAX: it is {given}; allowed are {needed} and more:"
            f" one for each slot ({named}) and {SPARE_CONNECTIONS} beside them. Nothing was started"
            " or charged. Raise it, or lower the slots."
        )


@asynccontextmanager
async def wire(
    settings: Settings,
    *,
    clock: Callable[[], float] = running_and_suspended_s,
    metrics: Instruments | None = None,
) -> AsyncGenerator[Activities]:
    """The activities with their clients, open for the time of the block.

    What happens is told to `metrics`; to nobody where there are none.

    Raises:
        DatabaseUnreachable: PostgreSQL does not answer.
        CatalogueInvalid: the operator's catalogue can't be used.
        KeyRefused: there is no provider key.
    """
    async with AsyncExitStack() as stack:
        catalogue = load_catalogue(settings.ledger.catalogue)
        metrics = metrics or Instruments()
        client = await stack.enter_async_context(
            WaveSpeed(settings.provider, tell=metrics.requested)
        )
        pool = await stack.enter_async_context(connect(settings.database))
        store = MediaStore.from_url(settings.media.media_url)
        decoders = await stack.enter_async_context(Decoders())
        # Of workers that were killed on this host: each could have left a whole film.
        await store.sweep_scratch()
        inputs = Inputs(pool, store, settings.media)
        llm = await _llm(settings.llm, metrics, stack)
        submissions = Submissions(
            pool,
            client,
            clock=clock,
            public_url=settings.provider.public_url,
            jobs_in_flight_max=settings.worker.jobs_in_flight_max,
        )
        admission = Admission(
            catalogue=catalogue,
            inputs=inputs,
            settings=settings.ledger,
            provider=submissions.identity,
            heartbeat_timeout_s=settings.worker.heartbeat_timeout_s,
            callbacks=settings.callbacks,
        )
        yield Activities(
            ledger=LedgerActivities(
                pool=pool, admission=admission, bills=Bills(pool, client), metrics=metrics
            ),
            prompts=PromptActivities(pool, inputs, Writer(llm)),
            provider=replace(
                _provider(settings.provider, pool, client, store, submissions), metrics=metrics
            ),
            media=MediaActivities(
                pool, Downloads(client, store, settings.media, start_decoder=decoders.start)
            ),
            library=LibraryActivities(pool, inputs),
            batches=BatchActivities(pool, BatchAdmission(pool, admission)),
            sweeps=_sweeps(settings.sweeps, pool, client, store, submissions),
            callbacks=await _callbacks(settings, pool, stack),
        )


async def _llm(settings: LlmSettings, metrics: Instruments, stack: AsyncExitStack) -> Llm | None:
    """Who writes the prompts of scenes; None where nobody is configured."""
    if not settings.is_configured:
        return None
    return await stack.enter_async_context(Llm(settings, tell=metrics.asked))


def _sweeps(
    settings: SweepSettings,
    pool: Pool,
    client: WaveSpeed,
    store: MediaStore,
    submissions: Submissions,
) -> SweepActivities:
    """What looks after whatever a crash left behind."""
    bills, findings = Bills(pool, client), Findings(pool)
    return SweepActivities(
        pool=pool,
        submissions=submissions,
        bills=bills,
        strays=Strays(pool, client, bills, findings),
        tidying=Tidying(pool, store, findings),
        grace_s=settings.sweep_grace_s,
    )


async def _callbacks(settings: Settings, pool: Pool, stack: AsyncExitStack) -> CallbackActivities:
    """What tells receivers; its notices stay open with `stack`."""
    return CallbackActivities(
        callbacks=Callbacks(pool),
        notices=await stack.enter_async_context(Notices(settings.database)),
        teller=Teller(Signers(pool, settings.callbacks), callback_policy(settings.callbacks)),
    )


def _provider(
    settings: ProviderSettings,
    pool: Pool,
    client: WaveSpeed,
    store: MediaStore,
    submissions: Submissions,
) -> ProviderActivities:
    """The steps that speak with the provider."""
    return ProviderActivities(
        pool=pool,
        client=client,
        staging=Staging(pool, store, client, submissions, price_check=settings.price_check),
        submissions=submissions,
        reconciliation=Reconciliation(submissions, client, settle_delay_s=settings.settle_delay_s),
        pace=partial(interval_s, shortest_s=settings.poll_interval_s),
    )


async def connect_temporal(address: str | None = None, *, runtime: Runtime | None = None) -> Client:
    """A client by `TEMPORAL_*` and `temporal.toml`, with our data converter; `address` comes first.

    Its metrics, and those of workers made with it, go where `runtime` sends them.

    Raises:
        RuntimeError: the server does not answer.
    """
    config = ClientConfig.load_client_connect_config()
    if address is not None:
        config["target_host"] = address
    return await Client.connect(
        **config,
        data_converter=data_converter(EncryptionSettings()),
        interceptors=trace_interceptors(),
        runtime=runtime,
    )
