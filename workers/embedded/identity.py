"""Which user a child runs as: PostgreSQL refuses to run as root, containers often have nobody else.

Root first tries a user namespace of its own. Inside it the child's uid is that of `nobody`, while
for the file system it is still root: no file changes owner, and folders that only root may enter
(`/root`, a test's temporary folder) work. Containers often forbid user namespaces; then the child
really becomes `nobody`, its folders are given to that user, and every folder above must let it
pass.
"""

import os
import pwd
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from workers.embedded import namespace
from workers.embedded.errors import DataDirectoryUnusable

OTHERS_MAY_ENTER = 0o001
PASS_THROUGH = 0o011  # Others may reach what is below, but not list what there is.


class Disguise(StrEnum):
    """How a child's user differs from ours."""

    NONE = "none"
    NAMESPACE = "namespace"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Identity:
    """The user of a child; `uid` and `gid` are what the child sees as its own."""

    disguise: Disguise
    uid: int
    gid: int

    def command(self, argv: Sequence[str]) -> Sequence[str]:
        """Return what to execute for `argv` to run as this user (see `namespace`)."""
        if self.disguise is not Disguise.NAMESPACE:
            return argv
        python = (sys.executable, "-I", "-S", namespace.__file__)
        return (*python, str(self.uid), str(self.gid), *argv)

    def become(self) -> None:
        """Really change the user; what a child calls between fork and exec."""
        if self.disguise is Disguise.NOBODY:
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)

    def grant(self, path: Path, *, below: Path) -> None:
        """Let this user own the folder `path` and reach it through the data directory `below`.

        Raises:
            DataDirectoryUnusable: when a folder above `below` keeps `nobody` out.
        """
        if self.disguise is Disguise.NOBODY:
            _open_the_way(below)
            _give(path, self.uid, self.gid)
        elif os.geteuid() == 0:
            # An earlier run, in a container without user namespaces, may have given it to `nobody`.
            _give(path, 0, 0)


def own_identity() -> Identity:
    """Return the identity that changes nothing."""
    return Identity(Disguise.NONE, os.geteuid(), os.getegid())


def candidates() -> tuple[Identity, ...]:
    """Return the identities to try for a server that refuses root, the best first."""
    if os.geteuid() != 0:
        return (own_identity(),)
    # initdb looks its user up by uid, so the uid has to have an entry, also inside a namespace.
    entry = pwd.getpwnam("nobody")
    nobody = Identity(Disguise.NOBODY, entry.pw_uid, entry.pw_gid)
    if sys.platform != "linux":
        return (nobody,)
    return (Identity(Disguise.NAMESPACE, entry.pw_uid, entry.pw_gid), nobody)


def _open_the_way(folder: Path) -> None:
    for parent in folder.parents:
        if not parent.stat().st_mode & OTHERS_MAY_ENTER:
            raise DataDirectoryUnusable(
                folder,
                "PostgreSQL refuses to run as root and runs as `nobody` here, which may not "
                f"enter {parent}.",
            )
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | PASS_THROUGH)


def _give(folder: Path, uid: int, gid: int) -> None:
    if folder.stat().st_uid == uid:
        return
    # The folder itself comes last, so that an interrupted change is taken up again.
    for entry in (*folder.rglob("*"), folder):
        os.chown(entry, uid, gid, follow_symlinks=False)
