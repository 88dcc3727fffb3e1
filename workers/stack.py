"""From a stack's addresses to the environment of the processes that belong to it."""

import os
from collections.abc import Mapping

from workflows.contracts.stack import StackAddress

SANDBOX_KEY = "sandbox"
SANDBOX_SETTLE_DELAY_S = 5
"""The sandbox lists a prediction at once; a real provider is given a quarter of an hour."""

SANDBOX_SWEEP_INTERVAL_S = 60
SANDBOX_SWEEP_GRACE_S = 30
"""Its sweeps cost nothing, and whoever tries something out doesn't wait ten minutes for them."""

SANDBOX_POLL_INTERVAL_S = 0.5
"""Its jobs take seconds, and being asked costs it nothing."""

EMBEDDED_HEARTBEAT_TIMEOUT_S = 15
"""Heartbeats cost nothing on one's own server, so a killed worker is replaced sooner."""

EMBEDDED_DRAIN_S = 5
"""Who stops a stack of his own waits for it; what is cut short goes on at the next start."""

REAL_KEYS = (
    "WAVESPEED_API_KEY",
    "WAVESPEED_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    # The SDK's own: they would tell the sandbox whose account it is.
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OPENAI_CUSTOM_HEADERS",
)


def without_real_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that could spend money."""
    return {name: value for name, value in environment.items() if name not in REAL_KEYS}


def environment_of(stack: StackAddress) -> dict[str, str]:
    """The environment of a process of this stack. Other settings of the user stay in force."""
    environment = dict(os.environ)
    if not stack.live:
        environment = without_real_keys(environment)
        environment |= {"WAVESPEED_API_KEY": SANDBOX_KEY, "WAVESPEED_BASE_URL": stack.provider}
        if stack.llm is not None:
            environment |= {"OPENAI_API_KEY": SANDBOX_KEY, "OPENAI_BASE_URL": stack.llm}
        environment.setdefault("STILLMOTION_SETTLE_DELAY_S", str(SANDBOX_SETTLE_DELAY_S))
        environment.setdefault("STILLMOTION_POLL_INTERVAL_S", str(SANDBOX_POLL_INTERVAL_S))
        environment.setdefault("STILLMOTION_SWEEP_INTERVAL_S", str(SANDBOX_SWEEP_INTERVAL_S))
        environment.setdefault("STILLMOTION_SWEEP_GRACE_S", str(SANDBOX_SWEEP_GRACE_S))
        # A developer's receiver listens on this machine.
        environment.setdefault("STILLMOTION_ALLOW_PRIVATE_CALLBACKS", "true")
    if stack.secret_key_file is not None:
        # Its database was encrypted with its own key.
        environment.pop("STILLMOTION_SECRET_KEY", None)
        environment["STILLMOTION_SECRET_KEY_FILE"] = stack.secret_key_file
    # Its histories were encrypted with its own keys, or not at all.
    environment.pop("STILLMOTION_PAYLOAD_KEYS", None)
    environment.pop("STILLMOTION_PAYLOAD_KEYS_FILE", None)
    if stack.payload_keys_file is not None:
        environment["STILLMOTION_PAYLOAD_KEYS_FILE"] = stack.payload_keys_file
    environment.setdefault("STILLMOTION_HEARTBEAT_TIMEOUT_S", str(EMBEDDED_HEARTBEAT_TIMEOUT_S))
    environment.setdefault("STILLMOTION_DRAIN_S", str(EMBEDDED_DRAIN_S))
    # Versions need a release step, which nobody takes for a stack of their own.
    environment.pop("STILLMOTION_BUILD_ID", None)
    for name in ("TEMPORAL_API_KEY", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE", "TEMPORAL_TLS"):
        environment.pop(name, None)
    return environment | {
        "TEMPORAL_ADDRESS": stack.temporal,
        "TEMPORAL_NAMESPACE": "default",
        "STILLMOTION_DATABASE_URL": stack.database,
        "STILLMOTION_MEDIA_URL": stack.media,
    }
