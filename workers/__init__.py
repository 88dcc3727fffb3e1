"""Every long-running process but the API, and the one place where implementations are chosen.

`wiring` chooses the implementations, `pools` puts them on task queues. `embedded/` runs Temporal
and PostgreSQL for `stillmotion dev`; `sandbox/` is a provider that renders real videos and costs
nothing. `python -m workers --help` lists the processes. Start with `wiring.py`.
"""
