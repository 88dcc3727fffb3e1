"""The decoding process's own work, for many files in turn: `python decoder_program.py TASK SIZE`.

Reads a path a line and answers with one JSON object a line. It runs under the same limits as the
real child, and a file that ends it is the last one it was given.
"""

import json
import sys
from pathlib import Path

from activities.media.decoder import answer, limit_process


def main() -> None:
    task, memory_bytes, cpu_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    limit_process(cpu_s, memory_bytes, 0)
    for line in sys.stdin:
        told = answer(task, Path(line.rstrip("\n")), 10_000_000)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
