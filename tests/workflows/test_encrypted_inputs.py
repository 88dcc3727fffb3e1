"""An input that this worker can't decrypt is no bad request: another worker can read it."""

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from workflows.contracts.payloads import ENCRYPTED
from workflows.contracts.requests import ImageToVideoRequest
from workflows.intake import InputEncrypted, parse


def test_an_encrypted_input_is_tried_again_and_never_refused_as_a_request() -> None:
    sealed = RawValue(Payload(metadata={"encoding": ENCRYPTED}, data=b"what only others can read"))

    with pytest.raises(InputEncrypted, match="STILLMOTION_PAYLOAD_KEYS") as told:
        parse(sealed, ImageToVideoRequest)

    assert "only others" not in str(told.value)
