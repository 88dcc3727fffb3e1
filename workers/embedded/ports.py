"""Which ports the Temporal server listens on: free ones, chosen once and kept.

A bookmark of the Web UI and a backend's address should survive a restart, so the chosen ports are
written into the data directory and used again while they are free.
"""

import socket
from pathlib import Path
from random import SystemRandom

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.embedded.errors import PortTaken

LOOPBACK = "127.0.0.1"
# Below the ports that systems give to outgoing connections (Linux 32768, macOS 49152), so that a
# remembered port is rarely taken by one of those.
FIRST_PORT = 20_000
LAST_PORT = 29_999


class TemporalPorts(BaseModel):
    """The server's ports on 127.0.0.1; None has a free one chosen and remembered."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    grpc: int | None = Field(default=None, ge=1, le=65535)
    http: int | None = Field(default=None, ge=1, le=65535)
    ui: int | None = Field(default=None, ge=1, le=65535)
    metrics: int | None = Field(default=None, ge=1, le=65535)


class ChosenPorts(BaseModel):
    """Four ports that were free a moment ago."""

    model_config = ConfigDict(frozen=True)

    grpc: int
    http: int
    ui: int
    metrics: int


def choose_ports(wanted: TemporalPorts, memo: Path) -> ChosenPorts:
    """Choose each port: the one asked for, else the one in `memo` while free, else a free one.

    Raises:
        PortTaken: a port asked for by number is in use.
    """
    remembered = _read(memo)
    chosen: dict[str, int] = {}
    for purpose in TemporalPorts.model_fields:
        asked_for: int | None = getattr(wanted, purpose)
        if asked_for is not None and not is_free(asked_for):
            raise PortTaken(asked_for, purpose)
        chosen[purpose] = asked_for or _choose(getattr(remembered, purpose), set(chosen.values()))
    ports = ChosenPorts.model_validate(chosen)
    memo.write_text(ports.model_dump_json() + "\n", encoding="utf-8")
    return ports


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` of 127.0.0.1 now."""
    with socket.socket() as probe:
        # Old connections in TIME_WAIT don't keep a server from listening; a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _choose(remembered: int | None, taken: set[int]) -> int:
    if remembered is not None and remembered not in taken and is_free(remembered):
        return remembered
    candidates = list(range(FIRST_PORT, LAST_PORT + 1))
    SystemRandom().shuffle(candidates)  # Two stacks that start together should not choose alike.
    for port in candidates:
        if port not in taken and is_free(port):
            return port
    raise PortTaken(LAST_PORT, f"last free (all from {FIRST_PORT} on are)")


def _read(memo: Path) -> TemporalPorts:
    try:
        return TemporalPorts.model_validate_json(memo.read_bytes())
    except (FileNotFoundError, ValidationError):
        return TemporalPorts()  # Never written, or cut off by a crash: choose anew.


def remembered_port(memo: Path) -> int:
    """One port for another server of the stack: the one in `memo` while free, else a free one."""
    try:
        before = int(memo.read_text("utf-8"))
    except (OSError, ValueError):
        before = None
    port = _choose(before, set())
    memo.write_text(f"{port}\n", encoding="utf-8")
    return port
