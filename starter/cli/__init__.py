"""The `stillmotion` command.

`app` holds the global options, the verbs and the one way out. Each other module is a group of
verbs: they compute, and hand what they have to `output`, the only one that prints (`tracks` is its
live view). `refusals` turns every error into a sentence, a hint and an exit code. Start with
`app.py`.
"""

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line and leave with its exit code; never returns."""
    # Imported here: `import starter.cli.output` needs no parser.
    from starter.cli.app import leave, run_command

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A file name need not be text: better told oddly than not at all.
            stream.reconfigure(errors="backslashreplace")
    leave(run_command(sys.argv[1:]))
