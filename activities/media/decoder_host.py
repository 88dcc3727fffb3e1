"""The parent of decoding processes: it has loaded the decoders and forks a child for each file.

    python -I -m activities.media.decoder_host

Loading Python and FFmpeg takes longer than a short film takes to decode, so it is done once. The
host touches no file, holds no secret and has one thread; each file still has a process of its own,
which ends with its answer. Linux only (`pidfd_open`, parent-death signals).

Its standard input is a socket of packets. One packet is a job: the arguments of `decoder` as JSON,
with three descriptors, which are the job's socket and where the child's output and errors go. The
job's socket is told, a packet each, that the child is forked, and its exit code; it is closed
untold where nothing could be forked. Whoever closes its other end, or half of it, has the child
killed. The host ends when its own socket does, and its children with it.
"""

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn

# Loaded here, so that no child has to.
from activities.media import audio, decoder, images, videos

_PACKET_SIZE_BYTES_MAX = 64 * 1024
_DESCRIPTORS = 3
_FORKED = b"forked"
_PR_SET_PDEATHSIG = 1
_LOADED = (audio, images, videos)


class _Job(NamedTuple):
    """A child that runs, and the socket of whoever waits for it."""

    pid: int
    exited: int
    """Its pidfd, readable from its end on."""
    asker: int


class Host:
    """Takes jobs from a socket until that is closed."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._events = selectors.DefaultSelector()
        self._alive, self._kept_open = os.pipe()
        """The children's standard input: it ends with us."""
        self._wanted = set[int]()
        """Children that somebody waits for."""
        self._pid = os.getpid()
        self._set_parent_death_signal = ctypes.CDLL(None, use_errno=True).prctl

    def serve(self) -> None:
        """Returns when nobody asks any more; the kernel kills the children that still run."""
        self._when(self._control.fileno(), self._take)
        try:
            while True:
                for key, _ in self._events.select():
                    act: Callable[[], None] = key.data
                    act()
        except EOFError:
            return

    def _take(self) -> None:
        packet, descriptors, _, _ = socket.recv_fds(
            self._control, _PACKET_SIZE_BYTES_MAX, _DESCRIPTORS
        )
        if not packet:
            raise EOFError
        try:
            job = self._start(packet, descriptors)
        except (OSError, ValueError):
            # Out of processes or descriptors: who asked sees its socket close, the others go on.
            for descriptor in descriptors:
                with suppress(OSError):
                    os.close(descriptor)
            return
        # Who asked may have gone already.
        with suppress(OSError):
            os.write(job.asker, _FORKED)
        self._wanted.add(job.pid)
        self._when(job.exited, lambda: self._tell(job))
        self._when(job.asker, lambda: self._kill(job))

    def _start(self, packet: bytes, descriptors: list[int]) -> _Job:
        asker, output, errors = descriptors
        # Before there is a child: nothing that the child raises may come back to here.
        arguments: list[str] = json.loads(packet)
        pid = os.fork()
        if pid == 0:
            self._become_decoder(arguments, output, errors)
        try:
            exited = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        os.close(output)
        os.close(errors)
        return _Job(pid, exited, asker)

    def _tell(self, job: _Job) -> None:
        """The child has ended: say how."""
        _, status = os.waitpid(job.pid, 0)
        self._unwanted(job)
        self._events.unregister(job.exited)
        os.close(job.exited)
        # Nobody may wait for it any more.
        with suppress(OSError):
            os.write(job.asker, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(job.asker)

    def _kill(self, job: _Job) -> None:
        """Its asker has gone, or wants no answer any more."""
        if self._unwanted(job):
            signal.pidfd_send_signal(job.exited, signal.SIGKILL)

    def _unwanted(self, job: _Job) -> bool:
        """Listen to its asker no longer; False where that was so. One look may bring both ends."""
        if job.pid not in self._wanted:
            return False
        self._wanted.remove(job.pid)
        self._events.unregister(job.asker)
        return True

    def _when(self, descriptor: int, act: Callable[[], None]) -> None:
        self._events.register(descriptor, selectors.EVENT_READ, act)

    def _become_decoder(self, arguments: list[str], output: int, errors: int) -> NoReturn:
        """In the child: give up what is the host's, then decode as a process of its own does."""
        code = 1
        try:
            self._set_parent_death_signal(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() != self._pid:  # We died before the kernel was asked.
                os._exit(1)
            os.setsid()
            for standard, given in enumerate((self._alive, output, errors)):
                os.dup2(given, standard)
            # Neither the host's socket nor a job's, where it could tell a code, is the child's.
            os.closerange(_DESCRIPTORS, os.sysconf("SC_OPEN_MAX"))
            sys.argv[1:] = arguments
            decoder.main()
            sys.stdout.flush()
            code = 0
        except BaseException:  # noqa: BLE001 - as an interpreter does with what nobody caught
            traceback.print_exc()
        os._exit(code)


def main() -> None:
    """Serve the socket that is our standard input."""
    gc.collect()
    # What is loaded stays, and a collection in a child would copy all of its pages.
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as control:
        Host(control).serve()


if __name__ == "__main__":
    main()
