"""`python -m starter.cli`: the `stillmotion` command where it is not installed."""

from starter.cli import main

main()
