"""How people and backends start and follow generations: the Python client and the CLI.

`from starter import VideoClient` for code; `cli/` is the `stillmotion` command. Both read through
the plain clients of `activities` and never import an activity or a worker. Start with `client.py`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starter.batch_handles import BatchHandle, BatchNotFinished, BatchRefused
    from starter.client import VideoClient
    from starter.handles import GenerationFailed, GenerationHandle, NotFinished

_HOMES = {
    "VideoClient": "starter.client",
    "GenerationFailed": "starter.handles",
    "GenerationHandle": "starter.handles",
    "NotFinished": "starter.handles",
    "BatchHandle": "starter.batch_handles",
    "BatchNotFinished": "starter.batch_handles",
    "BatchRefused": "starter.batch_handles",
}
__all__ = [
    "BatchHandle",
    "BatchNotFinished",
    "BatchRefused",
    "GenerationFailed",
    "GenerationHandle",
    "NotFinished",
    "VideoClient",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever was asked for
    """Import the client when it is asked for: `stillmotion --help` needs none of its libraries."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'starter' has no attribute {name!r}")
