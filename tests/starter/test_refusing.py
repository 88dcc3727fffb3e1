"""A validation error as a caller reads it: the field, its value, what is allowed."""

from typing import Any

import pytest
from pydantic import ValidationError

from starter.refusing import refusal_of
from workflows.contracts.requests import ImageToVideoRequest

FINE: dict[str, Any] = {"user_id": "ann", "image": {"media_id": "med_" + "a" * 26}, "prompt": "sea"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"seed": 10**5000}, "seed: a number of too many digits: "),
        ({"prompt": "sea" * 9000}, "prompt: 'seaseasea"),
        ({"prompt": None}, "prompt: None: "),
        ({"seed": "7"}, "seed: '7': "),
        ({"mask_image": {}}, "mask_image: it is not taken; allowed: audio, "),
    ],
    ids=["too many digits", "too long", "none", "another type", "unknown"],
)
def test_a_wrong_value_is_told_with_its_field(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ImageToVideoRequest.model_validate(FINE | wrong)

    refused = refusal_of(caught.value, takes=sorted(ImageToVideoRequest.model_fields))

    assert refused.failure.message.startswith(told)
    assert len(refused.failure.message) < 400
