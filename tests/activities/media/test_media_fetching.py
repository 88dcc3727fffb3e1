# A test may look at a small file while nothing else waits.
import asyncio
import hashlib
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from activities.media.addresses import any_address
from activities.media.errors import (
    FetchExpired,
    FetchFailed,
    FetchTooLarge,
    StoreFull,
    UrlRefused,
)
from activities.media.fetching import FetchPolicy, fetch, guarded_input_policy, output_policy
from activities.media.locations import Location

LOOPBACK = guarded_input_policy(allow_loopback=True, size_bytes_max=10_000_000)


@dataclass
class Server:
    """Answers each path with bytes as they stand, hangs where there are none, and closes."""

    url: str = ""
    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    requests: list[str] = field(default_factory=list[str])
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        writer.write(self.answers[head.split(" ")[1]])
        await writer.drain()
        if head.startswith("GET /hang"):
            await self.closing.wait()
        writer.close()


Resolving = Callable[[str, int], Awaitable[Sequence[str]]]


def ok(body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        "HTTP/1.1 200 OK",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def status(code: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} X", "Content-Length: 0", *headers, "", ""]).encode()


def anywhere(location: Location) -> None:
    del location


def answering(*answers: Sequence[str]) -> tuple[Resolving, list[str]]:
    """A resolver that changes its answer with each question, and the hosts it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        del port
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    serving = Server()
    listening = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    serving.port = listening.sockets[0].getsockname()[1]
    serving.url = f"http://127.0.0.1:{serving.port}"
    yield serving
    serving.closing.set()
    listening.close()


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "download"


async def test_a_file_arrives_whole_counted_hashed_and_with_its_type(
    server: Server, to: Path
) -> None:
    body = os.urandom(3_000_000)
    server.answers["/v.mp4?a=b"] = ok(body, "Content-Type: Video/MP4; charset=x")
    counts: list[int] = []

    fetched = await fetch(f"{server.url}/v.mp4?a=b#f", to, policy=LOOPBACK, on_bytes=counts.append)

    assert to.read_bytes() == body
    assert fetched.size_bytes == len(body)
    assert fetched.sha256 == hashlib.sha256(body).hexdigest()
    assert fetched.mime_type == "video/mp4"
    assert counts == sorted(counts)
    assert counts[-1] == len(body)
    assert len(counts) > 2


async def test_a_request_carries_no_key_and_ignores_proxies(
    server: Server, to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("WAVESPEED_API_KEY", "a-secret")
    server.answers["/f"] = ok(b"x")

    await fetch(f"{server.url}/f", to, policy=LOOPBACK)

    names = {line.split(":")[0].lower() for line in server.requests[0].splitlines()[1:] if line}
    assert names == {"host", "accept", "accept-encoding", "user-agent"}
    assert f"Host: 127.0.0.1:{server.port}" in server.requests[0]


async def test_an_unlikely_content_type_is_not_passed_on(server: Server, to: Path) -> None:
    server.answers["/f"] = ok(b"x", "Content-Type: <script>")

    fetched = await fetch(f"{server.url}/f", to, policy=LOOPBACK)

    assert fetched.mime_type == "application/octet-stream"


async def test_a_body_that_says_it_is_too_large_is_not_read(server: Server, to: Path) -> None:
    server.answers["/hang"] = ok(b"", length=10_000_001)

    with pytest.raises(FetchTooLarge, match="at most 10,000,000 bytes"):
        await fetch(f"{server.url}/hang", to, policy=LOOPBACK)

    assert not to.exists()


async def test_a_body_that_hides_its_size_stops_at_the_limit(server: Server, to: Path) -> None:
    server.answers["/f"] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(2_000_000)
    policy = replace(LOOPBACK, size_bytes_max=1_500_000)

    with pytest.raises(FetchTooLarge):
        await fetch(f"{server.url}/f", to, policy=policy)

    assert not to.exists()


async def test_a_body_of_exactly_the_limit_is_taken(server: Server, to: Path) -> None:
    server.answers["/f"] = ok(bytes(1000))

    fetched = await fetch(f"{server.url}/f", to, policy=replace(LOOPBACK, size_bytes_max=1000))

    assert fetched.size_bytes == 1000


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"half", length=8),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
async def test_a_body_shorter_than_promised_may_be_tried_again(
    server: Server, to: Path, answer: bytes
) -> None:
    server.answers["/f"] = answer

    with pytest.raises(FetchFailed, match=r"connection to 127\.0\.0\.1 failed"):
        await fetch(f"{server.url}/f", to, policy=LOOPBACK)

    assert not to.exists()


@pytest.mark.parametrize("code", [403, 404, 410])
async def test_a_file_that_is_no_longer_there_has_expired(
    server: Server, to: Path, code: int
) -> None:
    server.answers["/f?signature=secret"] = status(code)

    with pytest.raises(FetchExpired) as caught:
        await fetch(f"{server.url}/f?signature=secret", to, policy=LOOPBACK)

    assert caught.value.status == code
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("code", [206, 400, 429, 500, 503])
async def test_any_other_status_may_be_tried_again(server: Server, to: Path, code: int) -> None:
    server.answers["/f"] = status(code)

    with pytest.raises(FetchFailed) as caught:
        await fetch(f"{server.url}/f", to, policy=LOOPBACK)

    assert caught.value.status == code


async def test_an_encoding_that_was_not_asked_for_is_refused(server: Server, to: Path) -> None:
    server.answers["/f"] = ok(b"\x1f\x8b", "Content-Encoding: gzip")

    with pytest.raises(FetchFailed, match="encoding"):
        await fetch(f"{server.url}/f", to, policy=LOOPBACK)


async def test_a_server_that_stalls_may_be_tried_again(server: Server, to: Path) -> None:
    server.answers["/hang"] = ok(b"half", length=8)

    with pytest.raises(FetchFailed, match="stopped answering"):
        await fetch(f"{server.url}/hang", to, policy=replace(LOOPBACK, idle_timeout_s=0.1))
    with pytest.raises(FetchFailed, match=r"did not finish within 0\.1 s"):
        await fetch(f"{server.url}/hang", to, policy=replace(LOOPBACK, total_timeout_s=0.1))

    assert not to.exists()


async def test_a_port_where_nobody_listens_may_be_tried_again(server: Server, to: Path) -> None:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()

    with pytest.raises(FetchFailed, match="ConnectError"):
        await fetch(f"http://127.0.0.1:{port}/f", to, policy=LOOPBACK)


async def test_a_cancelled_fetch_leaves_nothing(server: Server, to: Path) -> None:
    server.answers["/hang"] = ok(bytes(2_000_000), length=3_000_000)
    arrived = asyncio.Event()
    fetching = asyncio.create_task(
        fetch(f"{server.url}/hang", to, policy=LOOPBACK, on_bytes=lambda _: arrived.set())
    )
    await arrived.wait()

    fetching.cancel()

    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert not to.exists()


async def test_a_full_disk_is_told_from_a_failed_download(server: Server, to: Path) -> None:
    server.answers["/f"] = ok(bytes(2_000_000))
    to.symlink_to("/dev/full")

    with pytest.raises(StoreFull):
        await fetch(f"{server.url}/f", to, policy=LOOPBACK)

    assert not to.is_symlink()


async def test_a_redirect_on_the_same_host_is_followed(server: Server, to: Path) -> None:
    server.answers["/a"] = status(302, "Location: /b")
    server.answers["/b"] = status(308, f"Location: {server.url}/c")
    server.answers["/c"] = ok(b"there")

    await fetch(f"{server.url}/a", to, policy=LOOPBACK)

    assert to.read_bytes() == b"there"


@pytest.mark.parametrize(
    "target",
    ["https://other.com/x?sig=secret", "//other.com/", "http://localhost/", "https://127.0.0.1/"],
)
async def test_a_redirect_to_another_host_port_or_scheme_is_refused(
    server: Server, to: Path, target: str
) -> None:
    server.answers["/a"] = status(302, f"Location: {target}")

    with pytest.raises(UrlRefused, match="redirects to another host") as caught:
        await fetch(f"{server.url}/a", to, policy=LOOPBACK)

    assert "secret" not in str(caught.value)
    assert len(server.requests) == 1


async def test_a_redirect_to_no_url_is_refused(server: Server, to: Path) -> None:
    server.answers["/a"] = status(302, "Location: file:///etc/passwd")

    with pytest.raises(UrlRefused, match="begins with file://"):
        await fetch(f"{server.url}/a", to, policy=LOOPBACK)


async def test_redirects_end_after_three(server: Server, to: Path) -> None:
    server.answers["/a"] = status(302, "Location: /a")

    with pytest.raises(UrlRefused, match="redirects more than 3 times"):
        await fetch(f"{server.url}/a", to, policy=LOOPBACK)

    assert len(server.requests) == 4


async def test_a_host_is_resolved_once_though_its_answer_would_change(
    server: Server, to: Path
) -> None:
    server.answers["/a"] = status(302, "Connection: close", "Location: /b")
    server.answers["/b"] = ok(b"there")
    resolve, asked = answering(["127.0.0.1"], ["10.0.0.1"])
    policy = replace(LOOPBACK, resolver=resolve, check=anywhere)

    await fetch(f"http://rebinding.test:{server.port}/a", to, policy=policy)

    assert asked == ["rebinding.test"]
    assert len(server.requests) == 2
    assert f"Host: rebinding.test:{server.port}" in server.requests[1]


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1", "::1"], ["169.254.169.254"]],
)
async def test_a_host_with_any_address_that_is_not_public_is_not_visited(
    to: Path, answers: list[str]
) -> None:
    resolve, asked = answering(answers)

    with pytest.raises(UrlRefused, match=r"host public\.test leads to .*, which is not visited"):
        await fetch("https://public.test/x", to, policy=guarded_input_policy(resolver=resolve))

    assert asked == ["public.test"]
    assert not to.exists()


async def test_the_next_checked_address_is_tried_when_the_first_does_not_answer(
    server: Server, to: Path
) -> None:
    server.answers["/f"] = ok(b"x")
    resolve, asked = answering(["127.0.0.2", "127.0.0.1", "127.0.0.3"])
    policy = replace(LOOPBACK, resolver=resolve, address_rule=any_address, check=anywhere)

    await fetch(f"http://two.test:{server.port}/f", to, policy=policy)

    assert asked == ["two.test"]


async def test_a_host_without_an_address_may_be_tried_again(to: Path) -> None:
    resolve, _ = answering([])

    with pytest.raises(FetchFailed, match=r"host nowhere\.test was not found"):
        await fetch("https://nowhere.test/", to, policy=guarded_input_policy(resolver=resolve))


async def test_an_output_is_fetched_from_the_providers_own_origin(server: Server, to: Path) -> None:
    server.answers["/out.mp4"] = ok(b"video")
    policy = output_policy((), f"{server.url}/api/v3")

    fetched = await fetch(f"{server.url}/out.mp4", to, policy=policy)

    assert fetched.size_bytes == 5


async def test_tls_asks_for_the_host_by_name_though_the_connection_is_pinned(
    to: Path, tmp_path: Path
) -> None:
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=files.test", "-addext", "subjectAltName=DNS:files.test"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    names: list[str | None] = []
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(certificate, key)
    there.sni_callback = lambda _socket, name, _context: names.append(name)
    serving = Server(answers={"/f": ok(b"over tls")})
    listening = await asyncio.start_server(serving.serve, "127.0.0.1", 0, ssl=there)
    port = listening.sockets[0].getsockname()[1]
    resolve, _ = answering(["127.0.0.1"])
    here = ssl.create_default_context(cafile=str(certificate))
    policy = FetchPolicy(anywhere, any_address, 1000, resolve, here)

    await fetch(f"https://files.test:{port}/f", to, policy=policy)
    with pytest.raises(FetchFailed, match="ConnectError"):
        await fetch(f"https://other.test:{port}/f", to, policy=policy)
    with pytest.raises(FetchFailed, match="ConnectError"):
        await fetch(f"https://files.test:{port}/f", to, policy=replace(policy, ssl_context=None))

    listening.close()
    assert names == ["files.test", "other.test", "files.test"]
