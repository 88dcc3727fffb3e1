"""A program that enters a user namespace of its own, then becomes the command behind it.

`python namespace.py 65534 65534 command…` maps that uid and gid to ours. It is a program, not a
function between fork and exec: the kernel lets a process with one thread only make a namespace, and
libraries (OpenTelemetry's exporters for one) start their threads again in every forked child. It
imports nothing of ours, so that it can run by its path, without site packages.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000  # linux/sched.h


def main(arguments: list[str]) -> str:
    """Become `arguments[2:]` with the uid and gid before it; return why that did not work."""
    uid, gid, *command = arguments
    try:
        _enter(uid, gid)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec keeps that.
            signal.signal(number, signal.SIG_DFL)
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        return f"can't become uid {uid} in a user namespace and run {command[0]}: {error}"


def _enter(uid: str, gid: str) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # The kernel wants setgroups denied before an unprivileged process may map its group.
    for name, value in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} 0 1"),
        ("gid_map", f"{gid} 0 1"),
    ):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, value.encode())
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))  # A text goes to standard error, with exit code 1.
