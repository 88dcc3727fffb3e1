"""What the process says of itself: a line each to stderr, and in it the id of the request.

The reply bears the same id (`replies`), so that whoever was told "the log says more" can ask for
the right lines. Neither the server nor the clients beneath say what was asked: addresses hold
tokens.
"""

import logging
import sys
from contextvars import ContextVar

import structlog

REQUEST_ID: ContextVar[str] = ContextVar("REQUEST_ID", default="-")
"""Of the request that is answered here; `-` where there is none."""

_FORMAT = "%(asctime)s %(levelname)s %(request_id)s %(message)s"


def configure_logging() -> None:
    """To stderr, a line each, whichever library says it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(with_request_id)
    handler.setFormatter(logging.Formatter(_FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    for name in ("uvicorn", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Plain clients speak by structlog, which would print to stdout.
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def with_request_id(record: logging.LogRecord) -> bool:
    """Let a record say of which request it speaks."""
    record.request_id = REQUEST_ID.get()
    return True
