"""What a step costs, each figure a ratio against something else in the same run.

`make bench` prints one row per repeated measurement: minimum, median, maximum and the goal.
Absolute times say more of the machine than of the code, so there are none.
"""
