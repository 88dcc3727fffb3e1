"""Every error as a person and a script read it: a sentence, the money, what to type, an exit code.

Exit codes: 0 done · 1 the generation failed · 2 usage · 3 a service is not reachable, or the
provider refuses our key · 4 refused by quota or a cost limit · 5 cancelled · 6 not finished.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cyclopts import CycloptsError
    from pydantic import ValidationError

    from workflows.contracts.failures import Failure

DONE, FAILED, USAGE, NOT_REACHABLE, REFUSED, CANCELLED, NOT_FINISHED = range(7)
INTERRUPTED = 130
"""What a shell expects of a program that SIGINT ended."""

Command = Callable[..., str]

_NOTHING = "Nothing was charged."
_HELP = "See: stillmotion --help"
_FLAGS = {
    "duration_s": "--duration",
    "max_cost_usd_micros": "--max-cost",
    "user_id": "--user",
    "idempotency_key": "--id",
    "prompt": "--prompt",
    "negative_prompt": "--negative-prompt",
    "prompt_expansion": "--prompt-expansion",
    "guidance_scale": "--guidance-scale",
    "seed": "--seed",
    "resolution": "--resolution",
    "model": "--model",
    "audio": "--audio",
    "mask_image": "--mask",
    "scene": "--scene",
    "story_context": "--story",
    "source": "--source",
    "callback_url": "--callback-url",
}
"""A field of the request → what a person typed. A positional `AUDIO` can be typed as a flag too."""

_TAKEN = re.compile(r"(?<=; )(it takes|allowed:) .*")
"""Where a message lists what there is, by the fields' names."""


class Usage(Exception):
    """What was typed can't be done. The message names the flag, its value and what is allowed."""

    def __init__(self, message: str, hint: str = _HELP) -> None:
        super().__init__(message)
        self.hint = hint


class Detached(Exception):
    """Ctrl-C while waiting: the generation goes on. The message says how to follow it."""

    def __init__(self, generation_id: str, message: str) -> None:
        super().__init__(message)
        self.generation_id = generation_id


class NotDone(Exception):
    """A verb could not finish, for a reason that is none of the others."""

    def __init__(self, message: str, hint: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


class Complaint(NamedTuple):
    """An error, told."""

    kind: str
    message: str
    hint: str
    money: str = _NOTHING
    exit_code: int = USAGE

    def document(self) -> dict[str, Any]:
        """The error as JSON."""
        return {
            "kind": self.kind,
            "message": self.message,
            "hint": self.hint,
            "money": self.money,
        }

    def lines(self) -> list[str]:
        """The error for people: what, the money, what next."""
        message = self.message if self.message.endswith((".", "!", "?")) else f"{self.message}."
        first = f"{message} {self.money}" if self.money else message
        return [first, self.hint] if self.hint else [first]


def explain(error: BaseException, command: Command) -> Complaint:
    """What to tell of `error`; `command` writes a command to type next, for the same stack.

    Anything unforeseen is a fault of ours, and is told as one.
    """
    for teller in _TELLERS:
        told = teller(error, command)
        if told is not None:
            return told
    return Complaint(
        "internal",
        f"This is a fault of ours: {type(error).__name__}.",
        f"STILLMOTION_DEBUG=1 shows where. Nothing that was started is lost: {command('list')}",
        "",
        FAILED,
    )


def with_flag(message: str) -> str:
    """`duration_s: 7; …` → `--duration: 7; …`: a person knows the flag, not the field."""
    place, colon, rest = message.partition(":")
    # A problem in the middle of a scene is told by its path: `scene.scene_number`.
    field, dot, inner = place.partition(".")
    return _FLAGS.get(field, field) + dot + inner + colon + _TAKEN.sub(_as_flags, rest)


def _as_flags(listed: re.Match[str]) -> str:
    told = listed[0]
    for name, flag in _FLAGS.items():
        told = re.sub(rf"\b{name}\b", flag.removeprefix("--"), told)
    return told


def refused(told: "Failure", generation_id: str | None = None) -> Complaint:
    """A refusal or failure of the contracts, with the exit code of its kind."""
    from workflows.contracts.failures import RULES, hint_of

    hint = told.hint if generation_id is None else hint_of(told.kind, generation_id)
    code = RULES[told.kind].exit_code
    return Complaint(told.kind.value, with_flag(told.message), hint, told.money, code)


def _typed(error: BaseException, _: Command) -> Complaint | None:
    """What is wrong with the command line, and what a verb says itself."""
    from cyclopts import CycloptsError

    match error:
        case CycloptsError():
            return _mistyped(error)
        case Usage():
            return Complaint("usage", str(error), error.hint)
        case NotDone():
            return Complaint("not_done", str(error), error.hint, "", error.exit_code)
        case KeyboardInterrupt():
            return Complaint("interrupted", "Interrupted.", "", "", INTERRUPTED)
        case _:
            return None


def _mistyped(error: "CycloptsError") -> Complaint:
    from cyclopts import UnknownOptionError

    told = " ".join(str(error).split())
    if isinstance(error, UnknownOptionError):
        names = (name for one in error.argument_collection if one.parse for name in one.names)
        flags = sorted(name for name in names if name.startswith("--"))
        told = f"{told} Allowed: {', '.join(flags)}." if flags else told
    verb = " ".join(("stillmotion", *(error.command_chain or ())))
    return Complaint("usage", told, f"See: {verb} --help")


def _asked_for_the_unknown(error: BaseException, command: Command) -> Complaint | None:
    """What can't be done as asked, by our own rules and records."""
    from activities.generations.repository import UnknownGeneration
    from activities.ledger.repository import PlanUnknown
    from activities.library.repository import UnknownAsset
    from starter.handles import NotBegun
    from workflows.contracts.failures import RequestRefused

    match error:
        case RequestRefused():
            return refused(error.failure)
        case NotBegun():
            hint = f"If it waits in a batch, cancel that: {command('batches', 'list')}"
            return Complaint("not_begun", str(error), hint, "", NOT_FINISHED)
        case UnknownGeneration():
            return Complaint("unknown_generation", f"ID: {error}.", f"See: {command('list')}", "")
        case UnknownAsset():
            return Complaint(
                "unknown_asset", f"ID: {error}.", f"See: {command('assets', 'list')}", ""
            )
        case PlanUnknown():
            return Complaint("unknown_plan", str(error), f"See: {command('plans')}", "")
        case _:
            return None


def _wrong_settings(error: BaseException, command: Command) -> Complaint | None:
    """What is wrong with the environment."""
    import asyncpg
    from pydantic import ValidationError

    from activities.encryption.codec import PayloadUnreadable
    from activities.ledger.catalogues import CatalogueInvalid
    from starter.places import SettingWrong

    match error:
        case SettingWrong() | PayloadUnreadable():
            told = str(error)
        case CatalogueInvalid():
            told = f"STILLMOTION_CATALOGUE: {error}."
        case ValidationError():
            told = setting_problem(error)
        case asyncpg.ClientConfigurationError():
            told = (
                "STILLMOTION_DATABASE_URL: not an address of PostgreSQL;"
                " allowed: postgresql://user:password@host/database."
            )
        case _:
            return None
    return Complaint("settings", told, f"See: {command('doctor', '--settings')}")


def _wrong_database(error: BaseException, command: Command) -> Complaint | None:
    """A database that was never prepared, or a role that may not do what was asked."""
    import asyncpg

    match error:
        case asyncpg.UndefinedTableError() | asyncpg.InvalidParameterValueError():
            told = "The database lacks our tables or roles."
            hint = f"Bring it up to date: {command('migrate')}"
            return Complaint("not_reachable", told, hint, _NOTHING, NOT_REACHABLE)
        case asyncpg.InsufficientPrivilegeError():
            told = "This database user may not do that."
            hint = "An operator's verb needs the owner's STILLMOTION_DATABASE_URL."
            return Complaint("not_allowed", told, hint, "")
        case _:
            return None


def _not_answering(error: BaseException, command: Command) -> Complaint | None:
    """Which service is not there."""
    import asyncpg
    from temporalio.service import RPCError

    from activities.database.pool import DatabaseUnreachable
    from activities.media.errors import MediaError
    from activities.provider.errors import ProviderError
    from starter.places import NotReachable

    match error:
        case NotReachable() | DatabaseUnreachable():
            told, money = str(error), _NOTHING
        case RPCError():
            told, money = f"Temporal does not answer ({error.status.name}).", ""
        case (
            asyncpg.PostgresError()
            | asyncpg.InterfaceError()
            | asyncpg.InternalClientError()
            | ConnectionError()
        ):
            told, money = f"PostgreSQL does not answer ({type(error).__name__}).", ""
        case ProviderError():
            told, money = str(error), ""
        case MediaError():
            told, money = f"The media could not be read or stored: {error}.", ""
        case _:
            return None
    hint = f"What is wrong: {command('doctor')}"
    return Complaint("not_reachable", told, hint, money, NOT_REACHABLE)


_TELLERS = (_typed, _asked_for_the_unknown, _wrong_settings, _wrong_database, _not_answering)


def setting_problem(error: "ValidationError") -> str:
    """The first wrong setting by its variable's name; never its value, which may be a secret."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = str(first["loc"][0]) if first["loc"] else "settings"
    name = field if field.isupper() else f"STILLMOTION_{field.upper()}"
    missing = first["type"] == "missing"
    return f"{name} is not set." if missing else f"{name}: {first['msg']}."
