"""Which webhooks have had their effect: a memory that bounds the work, not the record of anything.

An effect is a signal, which does no harm twice. So it may be forgotten: by its size, by a restart,
or by another process that serves the same deployment.
"""

from collections import OrderedDict

KEPT_MAX = 4096
"""About a megabyte. The provider repeats a message within minutes."""


class Deliveries:
    """The last messages that were acted on, by generation, message id and prediction."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._done: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def has(self, *message: str) -> bool:
        """Whether this message had its effect."""
        return message in self._done

    def add(self, *message: str) -> None:
        """This message had its effect; the oldest is forgotten where there are too many."""
        self._done[message] = None
        if len(self._done) > self._kept_max:
            self._done.popitem(last=False)
