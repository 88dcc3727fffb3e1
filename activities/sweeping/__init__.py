"""Repairs by the clock: what a crash, an operator or a lost process left behind.

Start with `activities.py`; each look is a module of its own.
"""
