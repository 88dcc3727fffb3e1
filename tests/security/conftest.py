"""A server that counts who came, a resolver under our control, and foreign words that bite."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from activities.media.locations import Location

EXAMPLES = Path(__file__).parents[2] / "examples"

EVIDENCE_TIMES = 20


def a_few(examples: int) -> int:
    """So many examples, and twenty times as many where evidence is asked for (`make evidence`)."""
    return examples * (EVIDENCE_TIMES if os.environ.get("STILLMOTION_EVIDENCE") == "1" else 1)


TRICKS = {
    "newline": "\n2026-01-01 [info] forged line",
    "carriage return": "\rforged line",
    "clears the screen": "\x1b[2J\x1b[H",
    "sets the title": "\x1b]0;owned\x07",
    "hyperlink": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "8-bit control": "\x9b2J\x9d0;owned\x9c",
    "overwrites": "abc\b\b\bxyz\x7f",
    "bidi": "\u202eexe.4pm\u2066\u2069\u200f",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "invisible": "a\u200bb\ufeffc\U000e0041",
    "markup": "[bold red]owned[/bold red] [link=file:///etc/passwd]x[/link]",
}
"""What a stranger may write into a prompt, a title or a provider's message, by what it does."""


THIS_MACHINE = (
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7F.1"),
    *("0177.0.0.1", "0177.0.0.01", "017700000001", "0", "0.0.0.0", "localhost", "LOCALHOST"),
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::127.0.0.1]", "[::7f00:1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:127.0.0.1]", "[::ffff:0:127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]"),
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
)
"""This machine, as it can be written: short, octal, hexadecimal, mapped, tunnelled."""


@dataclass
class Recorder:
    """Answers each path with bytes as they stand, 404 else, and closes; keeps what was asked."""

    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    requests: list[str] = field(default_factory=list[str])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests.append(head)
            missing = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"
            writer.write(self.answers.get(head.split(" ")[1], missing))
            await writer.drain()
        writer.close()


def redirect(location: str, status: int = 302) -> bytes:
    """An answer that points somewhere else, byte for byte as given."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "
    return head.encode() + location.encode("utf-8") + b"\r\n\r\n"


def ok(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def anywhere(location: Location) -> None:
    """A check that leaves everything to the address rule."""
    del location


class Resolver:
    """Answers the addresses that it was told, in turn; the last ones again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked.append(host)
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


Resolving = Callable[[str, int], Awaitable[Sequence[str]]]


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    serving = Recorder()
    listening = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    serving.port = listening.sockets[0].getsockname()[1]
    yield serving
    listening.close()
    await asyncio.sleep(0)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """Where a fetch would write."""
    return tmp_path / "fetched"


class NoPool(asyncpg.Pool):  # pyright: ignore[reportMissingTypeArgument]
    """In place of a database that is never asked."""

    def __init__(self) -> None:
        """Without connections."""
