"""Runs the services of docker-compose.yml that are ours without containers: their own commands, in
their own environment and nothing of ours, from the files and the packages that the image has.

Only addresses, ports and folders differ, and each difference is named here.
"""

import asyncio
import ctypes
import os
import re
import shutil
import signal
import socket
import venv
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from tests.documents.compose_file import DEPLOY, REPOSITORY, Service, image
from workers.embedded.ports import LOOPBACK

PORTS = ("8080", "8780", "8081", "9464")
"""On which a service of ours listens, in its container; here each takes a free one."""

HEALTHY_S = 120.0
_PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server((LOOPBACK, 0)) as free:
        return int(free.getsockname()[1])


class ServiceFailed(AssertionError):
    """A service of ours ended, or never became healthy. The message ends with what it said."""


class Host(NamedTuple):
    """Stands for the container host: the unpacked image, and where the native servers are."""

    folder: Path
    addresses: Mapping[str, str]
    """Of the servers that are not ours: as the file writes them, and as they are here."""


def end_with_parent() -> None:
    """Have the kernel end this process when the test run ends, also by a kill (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def translated(text: str, addresses: Mapping[str, str]) -> str:
    """A text of the file with the addresses of this machine."""
    for known, here in addresses.items():
        text = text.replace(known, here)
    return text


def unpack_image(folder: Path) -> None:
    """Lay out what the Dockerfile copies, and a Python that has the image's packages only.

    Neither this checkout nor the metadata of its installation can be seen from there.
    """
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    (packages,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    for path in _locked_files(DEPLOY / "requirements.lock"):
        (packages / path.name).symlink_to(path)
    app = folder / "app"
    app.mkdir()
    for to, source in image().copied.items():
        if (REPOSITORY / source).is_dir():
            # With what Python has compiled, as the image, but not what another process now writes.
            unfinished = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(REPOSITORY / source, app / to, ignore=unfinished)
        elif "site-packages" in to:
            (packages / Path(to).name).write_text(str(app))
            assert (REPOSITORY / source).read_text("utf-8").strip() == "/app"
        else:
            shutil.copy(REPOSITORY / source, app / to)


def _locked_files(lock: Path) -> set[Path]:
    """The top-level files and folders of the packages that the lock names."""
    found: set[Path] = set()
    for name, marker in re.findall(r"^([\w.-]+)==\S+( ;)?", lock.read_text("utf-8"), re.MULTILINE):
        try:
            package = distribution(name)
        except PackageNotFoundError:
            assert marker, f"{name} of {lock.name} is not installed"
            continue
        tops = {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}
        found |= {Path(str(package.locate_file(top))) for top in tops}
    return found


class Running(NamedTuple):
    """A service of ours that was started."""

    service: Service
    process: asyncio.subprocess.Process
    log: Path
    ports: Mapping[str, int]

    def url(self, port: str) -> str:
        return f"http://{LOOPBACK}:{self.ports[port]}"


class Engine:
    """Starts services as a compose program would: after what they need, waiting for its health."""

    def __init__(self, host: Host, services: Mapping[str, Service]) -> None:
        self._host = host
        self._services = services
        self._done: dict[str, Running] = {}
        self._addresses = dict(host.addresses)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Of what a service may ask, as the file writes them and as they are here."""
        return self._addresses

    def provided(self, name: str) -> bool:
        """Whether it is none of ours: a native server or script stands for it."""
        return not self._services[name].is_ours

    async def up(self, name: str) -> Running:
        """The service, started after what it needs; one that completes has completed."""
        if name in self._done:
            return self._done[name]
        service = self._services[name]
        for needed, condition in service.needs.items():
            if self.provided(needed):
                continue
            running = await self.up(needed)
            await (self.healthy if condition == "service_healthy" else self.completed)(running)
        self._done[name] = await self._start(service, service.command)
        return self._done[name]

    async def run(self, name: str, *command: str) -> str:
        """What `docker compose run NAME command…` writes to stdout."""
        running = await self._start(self._services[name], command)
        out, _ = await running.process.communicate()
        if running.process.returncode:
            ended = f"ended with {running.process.returncode} and {out.decode()}"
            raise self._failure(running, ended)
        return out.decode()

    async def completed(self, running: Running) -> None:
        await running.process.communicate()
        if running.process.returncode:
            raise self._failure(running, f"ended with {running.process.returncode}")

    async def healthy(self, running: Running) -> None:
        """Wait until its own health check says so."""
        kind, *argv = running.service.document["healthcheck"]["test"]
        assert kind == "CMD"
        try:
            async with asyncio.timeout(HEALTHY_S):
                while await self._check(running, argv):
                    if running.process.returncode is not None:
                        raise self._failure(running, f"ended with {running.process.returncode}")
                    await asyncio.sleep(0.7)
        except TimeoutError:
            raise self._failure(running, "never became healthy") from None

    async def down(self) -> dict[str, int]:
        """Stop everything as a compose program does; the exit codes."""
        left = [each for each in self._done.values() if each.process.returncode is None]
        for running in left:
            running.process.terminate()
        await asyncio.gather(*(running.process.communicate() for running in left))
        return {each.service.name: each.process.returncode or 0 for each in left}

    def kill(self) -> None:
        for running in self._done.values():
            if running.process.returncode is None:
                running.process.kill()

    async def _check(self, running: Running, argv: Sequence[str]) -> int:
        check = await asyncio.create_subprocess_exec(
            *(self._native(part, running.ports) for part in argv),
            env=self._environment(running.service, running.ports),
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await check.wait()

    async def _start(self, service: Service, command: Sequence[str]) -> Running:
        ports = {port: free_port() for port in PORTS}
        if service.name == "sandbox":
            self._addresses["http://sandbox:8080"] = f"http://{LOOPBACK}:{ports['8080']}"
        log = self._host.folder / f"{service.name}.log"
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                *image().entrypoint,
                *(self._native(part, ports) for part in command),
                cwd=self._host.folder / "app",
                env=self._environment(service, ports),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                preexec_fn=end_with_parent,
            )
        return Running(service, process, log, ports)

    def _environment(self, service: Service, ports: Mapping[str, int]) -> dict[str, str]:
        """What the image and the file give it, and nothing of this process."""
        program_folder = self._host.folder / "venv" / "bin"
        given = image().environment | service.environment
        native = {name: self._native(value, ports) for name, value in given.items()}
        return native | {"PATH": f"{program_folder}{os.pathsep}/usr/bin{os.pathsep}/bin"}

    def _native(self, text: str, ports: Mapping[str, int]) -> str:
        """As the file writes it, and as it is here."""
        text = translated(text, self._addresses)
        for port, here in ports.items():
            text = re.sub(rf"\b{port}\b", str(here), text)
        text = text.replace("0.0.0.0", LOOPBACK)
        return text.replace("/sandbox-data", f"{self._host.folder}/sandbox-data")

    @staticmethod
    def _failure(running: Running, what: str) -> ServiceFailed:
        said = running.log.read_text("utf-8")[-4000:]
        return ServiceFailed(f"{running.service.name} {what}:\n{said}")


@asynccontextmanager
async def engine(host: Host, services: Mapping[str, Service]) -> AsyncGenerator[Engine]:
    """An engine that leaves nothing running."""
    made = Engine(host, services)
    try:
        yield made
    finally:
        made.kill()
        await made.down()


async def run_script(
    service: Service, argv: Sequence[str], addresses: Mapping[str, str], path: Sequence[Path]
) -> None:
    """A script of `deploy/` in the environment of its service, with our programs on its PATH.

    Raises:
        ServiceFailed: it did.
    """
    environment = {
        name: translated(value, addresses) for name, value in service.environment.items()
    }
    programs = os.pathsep.join(map(str, (*path, "/usr/bin", "/bin")))
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=environment | {"PATH": programs},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise ServiceFailed(f"{service.name} ended with {process.returncode}: {said.decode()}")


def outside(service: Service, inside: str) -> str:
    """The file of ours that is mounted at a path of a container."""
    for mount, source in service.mounts.items():
        if inside == mount or inside.startswith(f"{mount}/"):
            return str((REPOSITORY / source).resolve()) + inside.removeprefix(mount)
    raise ServiceFailed(f"{service.name}: nothing of {DEPLOY} is mounted at {inside}")
