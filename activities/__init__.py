"""What touches the world: one package per domain noun.

Each holds a plain client or repository that knows nothing of Temporal (usable from a script) and,
in its `activities` module, a thin Temporal face: parse, call the plain client, return the contract.
Imports `workflows.contracts` and its libraries, never a workflow. Start with
`provider/submissions.py`.
"""
