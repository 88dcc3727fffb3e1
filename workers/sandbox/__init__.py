"""A provider that speaks the real contract over HTTP, renders real videos and costs nothing.

`python -m workers.sandbox --port 0 --data-dir D` starts it; `running(settings)` runs it inside a
test. `app` lists the routes, `faults` what it can be told to do wrong, `jobs` how a job goes from
accepted to completed. It imports nothing of ours, so that it stays a check from outside.
"""

from workers.sandbox.app import build_app
from workers.sandbox.serving import SandboxAddresses, running
from workers.sandbox.settings import SandboxSettings

__all__ = ["SandboxAddresses", "SandboxSettings", "build_app", "running"]
