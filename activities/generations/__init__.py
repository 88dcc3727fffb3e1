"""Generations and their events: who asked for what, and where it is now.

`repository` writes (inside the transaction of an effect), `reading` answers lists and `show`,
owner-scoped.
"""
