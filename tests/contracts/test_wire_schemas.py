"""The wire contracts' JSON schemas, as committed: a changed contract shows in review.

To accept a change, run these tests with UPDATE_GOLDEN=1 and commit what they write. History is made
of these types: a new field needs a default, and nothing is renamed or removed.
"""

import inspect
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from temporalio import activity

from tests.contracts import golden
from workflows.contracts import activities as signatures
from workflows.contracts import batches as batch_signatures
from workflows.contracts import callbacks as callback_signatures
from workflows.contracts import sweeps as sweep_signatures
from workflows.contracts.batch_results import Batch, BatchItem
from workflows.contracts.failures import Failure
from workflows.contracts.media import VideoFacts
from workflows.contracts.progress import Progress, ProgressFacts
from workflows.contracts.quoting import Quote
from workflows.contracts.requests import (
    Claimed,
    Continued,
    ImageToVideoRequest,
    SceneAnimationRequest,
    TalkingAvatarRequest,
)
from workflows.contracts.results import Generation, GenerationResult, StoredVideo
from workflows.contracts.stack import StackAddress
from workflows.contracts.terms import Terms

SCHEMAS = Path(__file__).parent / "schemas"
HISTORY_KEEPS = (signatures.Ledger, signatures.Prompts, signatures.Provider)
GROUPS = (
    *HISTORY_KEEPS,
    signatures.Media,
    signatures.Library,
    callback_signatures.Callbacks,
    batch_signatures.Batches,
    sweep_signatures.Sweeping,
)
MODULES = (signatures, callback_signatures, batch_signatures, sweep_signatures)


def messages() -> list[type[BaseModel]]:
    """Every message of the activities."""
    found = [
        each
        for module in MODULES
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, BaseModel) and each.__module__ == module.__name__
    ]
    return [each for each in found if not each.__name__.startswith("_")]


WRITTEN_BY_PEOPLE = (
    ImageToVideoRequest,
    SceneAnimationRequest,
    TalkingAvatarRequest,
    Claimed,
    Continued,
)

CONTRACTS = [
    *WRITTEN_BY_PEOPLE,
    Terms,
    ProgressFacts,
    Progress,
    GenerationResult,
    Generation,
    Failure,
    StoredVideo,
    StackAddress,
    Batch,
    BatchItem,
    *messages(),
]


def wire_names() -> dict[str, list[str]]:
    """Wire name → the types that go in and come out."""
    found: dict[str, list[str]] = {}
    for group in GROUPS:
        for _, method in inspect.getmembers(group, inspect.isfunction):
            definition = getattr(method, "__temporal_activity_definition", None)
            if definition is not None:
                types = [*(definition.arg_types or []), definition.ret_type]
                found[definition.name] = [each.__name__ for each in types]
    return found


def check(name: str, document: object) -> None:
    golden.check_json(SCHEMAS / f"{name}.json", document)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda each: each.__name__)
def test_a_contract_is_what_was_committed(contract: type[BaseModel]) -> None:
    check(contract.__name__, contract.model_json_schema(mode="serialization"))


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda each: each.__name__)
def test_a_contract_is_frozen(contract: type[BaseModel]) -> None:
    assert contract.model_config.get("frozen") is True


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda each: each.__name__)
def test_what_history_replays_bears_fields_of_later_versions(contract: type[BaseModel]) -> None:
    written_by_people = contract in WRITTEN_BY_PEOPLE

    assert (contract.model_config.get("extra") == "forbid") == written_by_people


def test_the_activities_names_and_types_are_what_was_committed() -> None:
    check("activities", wire_names())


def test_every_activity_is_called_noun_dot_verb() -> None:
    names = wire_names()

    assert len(names) == 28
    for name in names:
        noun, _, verb = name.partition(".")
        assert noun.isidentifier()
        assert verb.isidentifier()


def test_every_committed_schema_belongs_to_a_contract() -> None:
    committed = {path.stem for path in SCHEMAS.glob("*.json")}

    assert committed == {each.__name__ for each in CONTRACTS} | {"activities"}


async def test_a_stub_says_that_it_is_one() -> None:
    assert activity.in_activity() is False
    with pytest.raises(NotImplementedError):
        await signatures.Prompts().build_prompt(signatures.ForGeneration(generation_id="gen_one"))


finite = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(timezones=st.just(UTC))
quotes = st.builds(Quote, duration_s=finite)
videos = st.builds(StoredVideo, facts=st.builds(VideoFacts, duration_s=finite))
scalars = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), finite, st.text())
agreed = st.builds(
    Terms, quote=quotes, reserved_at=moments, parameters=st.dictionaries(st.text(), scalars)
)


@given(st.one_of(agreed, videos, st.builds(GenerationResult, duration_s=finite)))
def test_a_message_comes_back_from_history_as_it_went(message: BaseModel) -> None:
    back = type(message).model_validate_json(message.model_dump_json())

    assert back == message


@given(agreed)
def test_a_parameter_keeps_its_type_in_history(terms: Terms) -> None:
    back = Terms.model_validate_json(terms.model_dump_json())

    assert [type(each) for each in back.parameters.values()] == [
        type(each) for each in terms.parameters.values()
    ]


@given(agreed)
def test_a_later_versions_field_does_not_stop_a_replay(terms: Terms) -> None:
    written = {**terms.model_dump(mode="json"), "of_a_later_version": 1}

    assert Terms.model_validate(written) == terms
