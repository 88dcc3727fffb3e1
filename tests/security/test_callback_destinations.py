"""Where callbacks lead: judged each time that one is told, whatever was said of its URL before."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from activities.callbacks.rules import callback_policy
from activities.callbacks.settings import CallbackSettings
from activities.callbacks.signing import Signers
from activities.callbacks.telling import Teller
from activities.media.fetching import FetchPolicy
from tests.security.conftest import THIS_MACHINE, Recorder, Resolver, anywhere, ok, redirect
from workflows.contracts.callbacks import CallbackMessage, StageChange
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Stage, Status


class FixedSecret(Signers):
    """Signs without a database."""

    def __init__(self) -> None:
        pass

    async def of(self, source: Source) -> Sequence[Webhook]:
        del source
        return (Webhook(base64.b64encode(bytes(32)).decode()),)


def metadata_alone_is_refused(address: str) -> str | None:
    return "a metadata address" if address == "169.254.169.254" else None


MESSAGE = CallbackMessage(
    timestamp=datetime(2026, 11, 22, tzinfo=UTC),
    data=StageChange(
        generation_id="gen_one",
        seq=1,
        stage=Stage.ACCEPTED,
        status=Status.RUNNING,
        at=datetime(2026, 11, 22, tzinfo=UTC),
        operation=Operation.IMAGE_TO_VIDEO,
        source=Source.API,
    ),
)


def told_to(recorder: Recorder, policy: FetchPolicy) -> tuple[Teller, str]:
    """A teller under `policy`, and a URL with a name in it that leads to `recorder`."""
    return Teller(FixedSecret(), policy), f"http://hooks.test:{recorder.port}/x?token=s3cret"


async def test_a_callback_is_judged_when_it_is_told_and_again_at_the_next_one(
    recorder: Recorder,
) -> None:
    recorder.answers["/x?token=s3cret"] = ok(b"")
    strict = callback_policy(CallbackSettings(allow_private_callbacks=False))
    resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
    rule = metadata_alone_is_refused
    policy = replace(strict, check=anywhere, resolver=resolver, address_rule=rule)
    teller, url = told_to(recorder, policy)

    answers = [await teller.tell(url, MESSAGE) for _ in range(2)]

    assert [answer.state for answer in answers] == ["taken", "refused"]
    assert "metadata" in answers[1].evidence
    assert "s3cret" not in answers[1].evidence
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("host", THIS_MACHINE)
async def test_a_callback_reaches_nothing_on_this_machine_however_it_is_written(
    recorder: Recorder, host: str
) -> None:
    strict = callback_policy(CallbackSettings(allow_private_callbacks=False))
    teller = Teller(FixedSecret(), replace(strict, check=anywhere))

    answer = await teller.tell(f"http://{host}:{recorder.port}/x", MESSAGE)

    assert answer.state in {"refused", "failed"}
    assert recorder.requests == []


@pytest.mark.parametrize("target", ["http://10.0.0.1/", "/y", "file:///etc/passwd"])
async def test_a_callback_follows_no_redirect_at_all(recorder: Recorder, target: str) -> None:
    recorder.answers |= {"/x?token=s3cret": redirect(target), "/y": ok(b"")}
    loose = callback_policy(CallbackSettings(allow_private_callbacks=True))
    teller, url = told_to(recorder, replace(loose, resolver=Resolver(["127.0.0.1"])))

    answer = await teller.tell(url, MESSAGE)

    assert (answer.state, len(recorder.requests)) == ("failed", 1)
    assert "redirects are not followed" in answer.evidence
