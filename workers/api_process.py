"""The HTTP API of `stillmotion dev`: a process of its own, since workers import no starter."""

import signal
import sys
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec

from workers.embedded.children import Child, Inheritance, start_child
from workers.embedded.locking import DataDirectory
from workers.embedded.ports import LOOPBACK, remembered_port
from workers.stack import environment_of
from workers.supervision import answers, supervised
from workflows.contracts.stack import StackAddress

MODULE = "starter.api"
NEEDED = ("fastapi", "jinja2", "python_multipart", "uvicorn")
"""Of the extra `api`; the process itself says what else it lacks."""

PORT_FILE = "api.port"


def missing_libraries() -> list[str]:
    """What of the extra `api` is not installed: without it there is no API here."""
    return [name for name in NEEDED if find_spec(name) is None]


def api_origin(directory: DataDirectory) -> str:
    """Where the API of this stack listens: a bookmark of its page survives a restart."""
    return f"http://{LOOPBACK}:{remembered_port(directory.path / PORT_FILE)}"


def supervised_api(
    directory: DataDirectory, address: StackAddress
) -> AbstractAsyncContextManager[None]:
    """The API at `address.api`, for the time of the block. The stack's file must be there already.

    Raises:
        ServerDidNotStart: it didn't answer within a minute, or died before it did.
    """
    assert address.api is not None, "the stack says where its API is"
    origin = address.api

    async def start() -> Child:
        environment = environment_of(address)
        # It finds the stack by the data directory, which says more than a variable does.
        del environment["STILLMOTION_DATABASE_URL"]
        port = origin.rpartition(":")[2]
        return await start_child(
            [sys.executable, "-m", MODULE, f"--port={port}", f"--data-dir={directory.path}"],
            env=environment,
            log_path=directory.log_path("api"),
            stop_signal=signal.SIGTERM,
            cwd=directory.path,
            inherit=Inheritance(fds=(directory.lock_fd,)),
        )

    async def ready(child: Child) -> None:
        await answers(f"{origin}/livez", child, "the API")

    return supervised("the API", start, ready)
