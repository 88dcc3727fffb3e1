"""The data that crosses a boundary.

Frozen models, ids, stages, failure kinds, the catalogue, progress. Pure: standard library and
pydantic (and `temporalio` for the activity signatures), no I/O, no environment. History is made of
these types, so a new field has a default and nothing is renamed on the wire.
"""
