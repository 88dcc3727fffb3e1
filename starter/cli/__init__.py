"""The `stillmotion` command."""
