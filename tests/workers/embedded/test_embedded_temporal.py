"""The Temporal server as our child: what it keeps and what it is told at each start."""

import asyncio
import socket
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from workers.embedded.errors import (
    PortTaken,
    SearchAttributeConflict,
    ServerDidNotStart,
    ServerNotRunning,
)
from workers.embedded.locking import DataDirectory
from workers.embedded.ports import LOOPBACK, TemporalPorts, choose_ports, is_free
from workers.embedded.temporal import EmbeddedTemporal

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
INT = IndexedValueType.INDEXED_VALUE_TYPE_INT
DAY_S = 24 * 3600


async def test_a_workflow_without_a_worker_survives_a_restart_at_the_same_address(
    data_path: Path,
) -> None:
    async with DataDirectory(data_path / "with blanks") as directory:
        async with EmbeddedTemporal(directory) as server:
            before = server.ports
            client = await Client.connect(server.address)
            await client.start_workflow("Unserved", id="kept", task_queue="nobody-listens")
        async with EmbeddedTemporal(directory) as server:
            client = await Client.connect(server.address)
            found = await client.get_workflow_handle("kept").describe()

            assert found.status is WorkflowExecutionStatus.RUNNING
            assert server.ports == before


async def test_an_existing_file_gets_new_search_attributes_and_the_long_retention(
    data_path: Path,
) -> None:
    stage = SearchAttributeKey.for_keyword("Stage")
    async with DataDirectory(data_path) as directory:
        async with EmbeddedTemporal(directory, search_attributes={"Operation": KEYWORD}):
            pass
        wanted = {"Operation": KEYWORD, "Stage": KEYWORD}
        async with EmbeddedTemporal(directory, search_attributes=wanted) as server:
            client = await Client.connect(server.address)
            # Used at once: the server must not need time to know the new attribute.
            attributes = TypedSearchAttributes([SearchAttributePair(stage, "generating")])
            await client.start_workflow(
                "Unserved", id="found", task_queue="nobody-listens", search_attributes=attributes
            )
            found = [await client.count_workflows(f"{name} = 'x'") for name in wanted]
            namespace = await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace="default")
            )

    assert [result.count for result in found] == [0, 0]
    assert namespace.config.workflow_execution_retention_ttl.seconds == 90 * DAY_S


async def test_a_search_attribute_of_another_type_is_refused_by_name(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory:
        async with EmbeddedTemporal(directory, search_attributes={"Operation": KEYWORD}):
            pass

        with pytest.raises(SearchAttributeConflict, match="Operation"):
            await EmbeddedTemporal(directory, search_attributes={"Operation": INT}).__aenter__()


async def test_a_start_that_fails_shows_the_log(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory:
        (directory.folder("temporal") / "temporal.sqlite").write_text("not a database " * 100)

        with pytest.raises(ServerDidNotStart, match="file is not a database") as failure:
            await EmbeddedTemporal(directory).__aenter__()

    assert failure.value.log_path == data_path / "logs" / "temporal.log"


async def test_the_web_ui_is_served_on_loopback_only(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory, EmbeddedTemporal(directory) as server:
        reader, writer = await asyncio.open_connection(LOOPBACK, server.ports.ui)
        writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        writer.close()

        assert answer.startswith(b"HTTP/1.0 200")
        assert server.ui_url == f"http://127.0.0.1:{server.ports.ui}"
        assert listening_beyond_loopback(server.child.pid) == set()


async def test_no_address_outside_the_context(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory:
        server = EmbeddedTemporal(directory)

        with pytest.raises(ServerNotRunning):
            _ = server.address


def test_a_port_asked_for_by_number_is_refused_when_taken(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = int(listener.getsockname()[1])

        with pytest.raises(PortTaken, match=rf"{port}.*grpc"):
            choose_ports(TemporalPorts(grpc=port), tmp_path / "ports.json")


def test_remembered_ports_are_used_while_free_and_replaced_when_not(tmp_path: Path) -> None:
    memo = tmp_path / "ports.json"
    first = choose_ports(TemporalPorts(), memo)

    assert choose_ports(TemporalPorts(), memo) == first
    with socket.create_server((LOOPBACK, first.ui)):
        second = choose_ports(TemporalPorts(), memo)
    assert second.ui != first.ui
    assert second.grpc == first.grpc
    assert is_free(second.ui)


def test_a_damaged_memory_of_ports_is_no_obstacle(tmp_path: Path) -> None:
    memo = tmp_path / "ports.json"
    memo.write_text('{"grpc": 2')

    assert len(set(choose_ports(TemporalPorts(), memo).model_dump().values())) == 4


def listening_beyond_loopback(pid: int) -> set[str]:
    """Return the local addresses outside 127.0.0.1 on which the process listens, from /proc."""
    inodes = {
        entry.readlink().name for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()
    }
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if state == "0A" and f"socket:[{inode}]" in inodes and local[:8] != "0100007F":
                found.add(local)
    return found
