"""One running sandbox: its state, its faults and its jobs, tied to one data directory."""

import fcntl
import secrets
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx
from starlette.requests import Request

from workers.sandbox.faultboard import FaultBoard
from workers.sandbox.jobs import JobRunner
from workers.sandbox.reads import Reads
from workers.sandbox.settings import SandboxSettings
from workers.sandbox.sources import Sources
from workers.sandbox.store import Store
from workers.sandbox.webhooks import WebhookSender

_OUTSIDE_TIMEOUT_S = 20
"""For media at foreign URLs and for the receivers of webhooks."""


class SandboxBusy(RuntimeError):
    """Another process uses the data directory; stop it or choose another directory."""


@dataclass(frozen=True)
class Sandbox:
    """What every endpoint works on."""

    settings: SandboxSettings
    store: Store
    board: FaultBoard
    sources: Sources
    jobs: JobRunner
    reads: Reads
    secret: str
    """Signs webhooks and output URLs."""

    @property
    def uploads(self) -> Path:
        """The folder of uploaded files, each named by its id."""
        return self.settings.data_dir / "uploads"


def sandbox_of(request: Request) -> Sandbox:
    """The sandbox that serves this request."""
    sandbox = request.app.state.sandbox
    assert isinstance(sandbox, Sandbox)
    return sandbox


@asynccontextmanager
async def opened(settings: SandboxSettings) -> AsyncGenerator[Sandbox]:
    """A sandbox on its data directory, with the jobs going on that were unfinished.

    Raises:
        SandboxBusy: another process has the directory.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (settings.data_dir / "lock").open("ab") as lock:
        _take(lock, settings.data_dir)
        _tidy(settings.data_dir)
        store = Store(settings.data_dir / "sandbox.sqlite3")
        async with httpx.AsyncClient(timeout=_OUTSIDE_TIMEOUT_S, trust_env=False) as client:
            sandbox = _assembled(settings, store, client)
            sandbox.jobs.resume()
            try:
                yield sandbox
            finally:
                await sandbox.jobs.aclose()
                store.close()


def _assembled(settings: SandboxSettings, store: Store, client: httpx.AsyncClient) -> Sandbox:
    secret = _secret(store)
    uploads = settings.data_dir / "uploads"
    sources = Sources(client, store.upload, uploads, settings.upload_bytes_max)
    webhooks = WebhookSender(client, secret, settings.webhook_retry_s)
    jobs = JobRunner(settings, store, sources, webhooks, secret)
    board = FaultBoard(store.note("faults"), lambda saved: store.save_note("faults", saved))
    return Sandbox(settings, store, board, sources, jobs, Reads(), secret)


def _take(lock: BinaryIO, data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SandboxBusy(f"another sandbox uses {data_dir}") from None


def _tidy(data_dir: Path) -> None:
    """Makes the folders and removes what a killed process left half done."""
    shutil.rmtree(data_dir / "scratch", ignore_errors=True)
    for name in ("scratch", "uploads", "outputs"):
        (data_dir / name).mkdir(exist_ok=True)
    for part in [
        *(data_dir / "outputs").glob("*.part.mp4"),
        *(data_dir / "uploads").glob("*.part"),
    ]:
        part.unlink()


def _secret(store: Store) -> str:
    secret = store.note("secret")
    if secret is None:
        secret = "whsec_" + secrets.token_urlsafe(32)
        store.save_note("secret", secret)
    return secret
