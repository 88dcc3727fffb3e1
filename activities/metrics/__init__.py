"""What happens, counted where it happens, for Prometheus. Start reading at `instruments.py`.

What *is* (how many wait, how much is held) is read by `workers/reporting.py` instead.
"""
