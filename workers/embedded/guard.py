"""Ends a command when its parent dies, on systems whose kernel can't do that itself.

`python -m workers.embedded.guard SIGTERM command…` starts the command and reads its own standard
input, a pipe whose other end only the parent holds. The kernel closes that end however the parent
dies, so end-of-file means: send the signal, wait `GRACE_S`, kill. On Linux PR_SET_PDEATHSIG does
this without a second process.
"""

import os
import signal
import subprocess
import sys
import threading
from queue import SimpleQueue
from types import FrameType

GRACE_S = 10.0
FORWARDED = (signal.SIGTERM, signal.SIGINT)
EXIT_CODE_OF_SIGNAL = 128  # What a shell reports for a command ended by a signal: 128 + its number.


def main(argv: list[str]) -> int:
    """Run `argv[1:]` until it ends or the parent does; return its exit code."""
    stop_signal, command = signal.Signals[argv[0]], argv[1:]
    received = _received_signals()
    # close_fds=False hands on what the parent meant to be inherited, such as the lock's descriptor.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603
    threading.Thread(target=_forward, args=(received, child), daemon=True).start()
    threading.Thread(target=_end_with_parent, args=(child, stop_signal), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else EXIT_CODE_OF_SIGNAL - code


def _received_signals() -> SimpleQueue[int]:
    """Queue the signals from now on: one that came before the child exists must reach it too."""
    received: SimpleQueue[int] = SimpleQueue()

    def keep(number: int, _frame: FrameType | None) -> None:
        received.put(number)

    for number in FORWARDED:
        signal.signal(number, keep)
    return received


def _forward(received: SimpleQueue[int], child: subprocess.Popen[bytes]) -> None:
    while True:
        child.send_signal(received.get())


def _end_with_parent(child: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    child.send_signal(stop_signal)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
