"""``python -m tests.mutations --count 2000``: the table of damaged files, and what went wrong."""

from __future__ import annotations

import argparse
import sys

from tests.mutations.trials import run, table


def main() -> int:
    """Print the table; 1 where anything was believed or not told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="damages in all")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = run(arguments.count, seed=arguments.seed)
    print(table(rows))
    faults = [fault for row in rows for fault in row.faults]
    for fault in faults:
        print(f"\n{fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
