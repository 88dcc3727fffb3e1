"""Quota and money: admission, settlement, release, in integer micro-USD.

`repository` holds every statement that moves money, `pricing` quotes a request's real media before
anything is held, `usage` reads. Balances only change together with a row of the append-only ledger.
"""
