"""When predictions were asked for: what tells how soon an end is noticed, and a wait taken over.

In memory only, since a line per poll would cost more than the poll.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from workers.sandbox.records import Prediction, iso


@dataclass
class _Read:
    count: int = 0
    last_at: datetime | None = None
    end_seen_at: datetime | None = None


class Reads:
    """Reads by prediction since this process started."""

    def __init__(self) -> None:
        self._reads: dict[str, _Read] = {}

    def note(self, prediction: Prediction) -> None:
        """The prediction was read just now, as it stands."""
        read = self._reads.setdefault(prediction.id, _Read())
        read.count += 1
        read.last_at = datetime.now(UTC)
        if prediction.finished and read.end_seen_at is None:
            read.end_seen_at = read.last_at

    def document(self, prediction_id: str) -> dict[str, JsonValue]:
        """How often, when last, and when its end was read first; for the log."""
        read = self._reads.get(prediction_id, _Read())
        return {
            "reads": read.count,
            "read_at": iso(read.last_at) if read.last_at else None,
            "end_read_at": iso(read.end_seen_at) if read.end_seen_at else None,
        }
