"""Batches: many generations asked for, reserved and counted as one.

`repository` writes rows and counts them, `admission` reserves the whole or nothing, `reading`
answers lists and `show`, owner-scoped. The money moves through `activities.ledger` only.
"""
