"""Where a running `stillmotion dev` is: its ready line, and what other commands find it by."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

STACK_FILE = "dev.json"
"""In the data directory; readable by its owner only."""


class StackAddress(BaseModel):
    """Printed by `dev -o json` when it is ready."""

    model_config = ConfigDict(frozen=True)

    temporal: str
    """`127.0.0.1:PORT`"""
    temporal_ui: str
    task_queue: str
    database: str
    """A PostgreSQL URL; it holds no password, the socket's folder is private."""
    media: str
    """`file:///…`"""
    provider: str
    """The provider's base URL."""
    llm: str | None = None
    api: str | None = None
    """`http://127.0.0.1:PORT`, of the HTTP API and its page; None where it was not started."""
    api_key_file: str | None = None
    """Holds the API key of the user `local`; only its owner may read it."""
    secret_key_file: str | None = None
    """Holds the key that the callbacks' secrets are encrypted with; only its owner may read it."""
    payload_keys_file: str | None = None
    """Holds the keys that payloads are encrypted with, where any were given."""
    limits: dict[str, str] = {}
    """The variables of its catalogue, plan and spending caps: estimates elsewhere need them too."""
    live: bool = False
    """Whether videos cost real money."""


def read_stack(data_dir: Path) -> StackAddress | None:
    """The stack that was started last in `data_dir`; it may have been killed since."""
    try:
        return StackAddress.model_validate_json((data_dir / STACK_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def sign_in_link(stack: StackAddress) -> str | None:
    """The page's address that signs in as `local`; None without an API, or where its key is hidden.

    It holds a secret, in the part of an address that a browser sends to nobody: only for the eyes
    of whoever may read the key's file, and for no log and no command line.
    """
    if stack.api is None or stack.api_key_file is None:
        return None
    try:
        key = Path(stack.api_key_file).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return f"{stack.api}/sign-in#key={key}"
