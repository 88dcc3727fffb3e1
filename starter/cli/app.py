"""The command line: global options, the verbs, and the one way out.

The options that every verb shares belong to a meta app, so that they work before and after a verb.
A verb is a plain function whose annotations are its flags; the global options come as its `ctx`.
"""

import asyncio
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, Group, Parameter

from activities.tracing.spans import tracing
from starter.cli import (
    batch_following,
    batches,
    callbacks,
    demo,
    doctor,
    following,
    keys,
    library,
    listing,
    money,
    operating,
    processes,
    releasing,
    starting,
    sweeping,
    users,
)
from starter.cli.context import Context
from starter.cli.output import Mode, Output
from starter.cli.refusals import NOT_FINISHED, Detached, explain
from starter.cli.version import own_version

_HELP = """Turn still images into video, durably: never lose a paid video, never pay twice.

For example: stillmotion dev, and beside it
stillmotion image-to-video examples/coffee.jpg --prompt "steam rises slowly"

Data goes to stdout, progress and hints to stderr. With -o json an error is
{"error": {"kind", "message", "hint", "money"}} on stdout.

Exit codes: 0 done, 1 the generation failed, 2 usage, 3 a service is not
reachable or the provider refuses our key, 4 refused by quota or a cost limit,
5 cancelled, 6 not finished.
"""

app = App(
    name="stillmotion",
    help=_HELP,
    help_format="plaintext",
    version=own_version,
    result_action="return_value",
)
_EVERYWHERE = Group("Everywhere", sort_key=100)
_MAKING = Group("Make videos", sort_key=1)
_FOLLOWING = Group("Follow and steer", sort_key=2)
_KEEPING = Group("Library, quota, catalogue", sort_key=3)
_RUNNING = Group("Run and operate", sort_key=4)


def _register(group: Group, verbs: dict[str, Callable[..., Any]]) -> None:
    for name, verb in verbs.items():
        app.command(verb, name=name, group=group)


_register(
    _MAKING,
    {
        "image-to-video": starting.image_to_video,
        "animate-scene": starting.animate_scene,
        "talking-avatar": starting.talking_avatar,
        "batch": batches.batch,
        "estimate": starting.estimate,
        "upload": library.upload,
    },
)
_register(
    _FOLLOWING,
    {
        "list": listing.list_generations,
        "show": listing.show,
        "watch": following.watch,
        "resume": following.resume,
        "cancel": following.cancel,
        "resolve": following.resolve,
        "download": library.download,
        "open": library.open_video,
    },
)
_register(_KEEPING, {"usage": money.usage, "models": money.models})
_register(
    _RUNNING,
    {
        "dev": processes.dev,
        "demo": demo.demo,
        "worker": processes.worker,
        "api": processes.api,
        "sandbox": processes.sandbox,
        "codec-server": processes.codec_server,
        "migrate": processes.migrate,
        "doctor": doctor.doctor,
        "release": releasing.release,
        "sweep": sweeping.sweep,
        "pause": operating.pause,
        "unpause": operating.unpause,
    },
)

assets = App(
    name="assets",
    help="The asset library: every finished video.\n\nFor example: stillmotion assets list",
    group=_KEEPING,
)
assets.command(library.list_assets, name="list")
assets.command(library.show_asset, name="show")
assets.command(library.search_assets, name="search")
assets.command(library.delete_asset, name="delete")
app.command(assets)

many = App(
    name="batches",
    help="Batches: many videos as one.\n\nFor example: stillmotion batches list",
    group=_FOLLOWING,
)
many.command(batch_following.list_batches, name="list")
many.command(batch_following.show, name="show")
many.command(batch_following.watch, name="watch")
many.command(batch_following.resume, name="resume")
many.command(batch_following.cancel, name="cancel")
app.command(many)

receivers = App(
    name="callbacks",
    help="Receivers that are told of every stage.\n\nFor example: stillmotion callbacks list",
    group=_FOLLOWING,
)
receivers.command(callbacks.list_callbacks, name="list")
receivers.command(callbacks.retry_callback, name="retry")
receivers.command(callbacks.make_secret, name="secret")
app.command(receivers)

people = App(
    name="users",
    help="Users, as the books know them.\n\nFor example: stillmotion users erase ann",
    group=_RUNNING,
)
people.command(users.erase, name="erase")
app.command(people)

access = App(
    name="keys",
    help="Keys of the HTTP API: who may call it.\n\nFor example: stillmotion keys list",
    group=_RUNNING,
)
access.command(keys.make_key, name="make")
access.command(keys.list_keys, name="list")
access.command(keys.rotate_key, name="rotate")
access.command(keys.revoke_key, name="revoke")
app.command(access)

plans = App(
    name="plans",
    help="What each plan allows in a month.\n\nFor example: stillmotion plans --output json",
    group=_KEEPING,
)
plans.default(money.plans)
plans.command(money.assign_plan, name="assign")
app.command(plans)


@app.meta.default
def _run(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    output: Annotated[
        Mode,
        Parameter(
            name=["--output", "-o"],
            group=_EVERYWHERE,
            help="Tables for people, one JSON value, one a line, or bare ids and paths",
        ),
    ] = "human",
    data_dir: Annotated[
        Path | None,
        Parameter(
            name="--data-dir",
            env_var="STILLMOTION_DATA_DIR",
            group=_EVERYWHERE,
            help="The state of a `stillmotion dev`, which is found by it [default: .stillmotion]",
        ),
    ] = None,
) -> int:
    ctx = Context(Output(output), data_dir)
    try:
        verb, bound, not_parsed = app.parse_args(tokens, exit_on_error=False, print_error=False)
        for name in not_parsed:
            bound.arguments[name] = ctx
        done = verb(*bound.args, **bound.kwargs)
        if inspect.iscoroutine(done):
            done = asyncio.run(done)
        return done if isinstance(done, int) else 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - every error becomes a sentence here
        return _told(ctx, error)


def run_command(argv: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Whatever happens is told, never raised."""
    try:
        return (
            app.meta(argv, exit_on_error=False, print_error=False, result_action="return_value")
            or 0
        )
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the global options themselves are wrong
        return _told(Context(), error)


def leave(code: int) -> NoReturn:
    """Flush and end: Temporal's client sometimes aborts while the interpreter does (issue 300)."""
    tracing().flush()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            # The reader has left, as `head` does.
            continue
    os._exit(code)


def _told(ctx: Context, error: BaseException) -> int:
    if isinstance(error, BrokenPipeError):
        return 0
    if os.environ.get("STILLMOTION_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, Detached):
        # As --detach prints it: the one value of the data.
        document = {"generation_id": error.generation_id, "status": "running"}
        ctx.output.value(document, bare=error.generation_id)
        ctx.output.note(str(error))
        return NOT_FINISHED
    complaint = explain(error, ctx.command)
    ctx.output.complain(complaint)
    return complaint.exit_code
