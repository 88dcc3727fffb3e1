"""The shell of a rehearsal: one bash for all commands of a handbook."""

import asyncio
import os
import signal
import sysconfig
from pathlib import Path

from workers.embedded.postgres import binaries

COMMAND_S = 180.0
_MARK = "__the_command_ended__"


class Failed(Exception):
    """A command of the handbook did not do what it says."""


class Shell:
    """One bash for all commands, so that what a command sets or starts is there for the next."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, folder: Path, log: Path) -> "Shell":
        """A shell in `folder`, with our programs and PostgreSQL's, and nothing of the caller's."""
        environment = {
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join((*map(str, programs()), os.environ["PATH"])),
        }
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                "bash",
                "--norc",
                cwd=folder,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )
        shell = cls(process, log)
        # When we are killed, the end of its input ends it, and with it what runs in the background.
        await shell.run("trap 'kill -9 $(jobs -p)' EXIT")
        return shell

    async def run(self, command: str) -> str:
        """What the command printed.

        Raises:
            Failed: it ended with another code than 0, or not within three minutes.
        """
        assert self._process.stdin is not None, "it was asked for"
        self._process.stdin.write(f"{command}\necho {_MARK} $?\n".encode())
        await self._process.stdin.drain()
        try:
            async with asyncio.timeout(COMMAND_S):
                printed, code = await self._printed()
        except TimeoutError:
            printed, code = "", None
        if code == 0:
            return printed
        ended = f"ended with {code}" if code is not None else f"took over {COMMAND_S:.0f} s"
        said = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
        raise Failed(f"{command}\n{ended}\n{printed}{said}")

    async def _printed(self) -> tuple[str, int | None]:
        assert self._process.stdout is not None, "it was asked for"
        printed: list[str] = []
        while line := (await self._process.stdout.readline()).decode(errors="replace"):
            before, mark, code = line.partition(_MARK)
            printed.append(before)
            if mark:
                return "".join(printed), int(code)
        return "".join(printed), None

    async def kill_jobs(self) -> None:
        """SIGKILL to everything that runs in the background, as a lost machine does."""
        await self.run("kill -9 $(jobs -p); wait; true")

    async def close(self) -> None:
        """End the shell and everything that it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


def programs() -> list[Path]:
    """Where `stillmotion`, `temporal` and PostgreSQL's clients are."""
    return [Path(sysconfig.get_path("scripts")), binaries()]
