"""`python -m benchmarks [name ...]`: run them, print the tables, write docs/benchmarks.md.

Without a name all are run but `large`, which takes some 20 minutes, `serving`, which takes some 15
and needs wrk, `soak`, which takes some 20, `kills`, which takes some 15, `store`, which takes some
5 and needs wrk and 4 GB of disk, `importing`, which takes some 15 and 6 GB, `jobs`, which takes
some 15 and 6 GB, `recording`, which takes some 4 and needs wrk, `policy`, which takes some 10,
`image`, which takes some 4, root and debootstrap, `drain`, which takes some 5, `hostile`, which
takes some 8, `overload`, which takes some 3 and needs wrk, `fuzz`, which takes some 3, `hillstrom`,
which needs the published file, `bundles`, `swaps` and `publishing`, which take some 5 each, and
`drift`, which takes some 20 and needs promtool.
"""

import sys
from importlib import import_module

from benchmarks.report import Result, keep

NAMES = ("customer", "kernel", "features", "bulk", "threads", "whole", "plan")
ONLY_BY_NAME = (
    "large",
    "serving",
    "soak",
    "kills",
    "store",
    "importing",
    "jobs",
    "recording",
    "policy",
    "image",
    "drain",
    "hostile",
    "overload",
    "fuzz",
    "hillstrom",
    "bundles",
    "swaps",
    "publishing",
    "drift",
)


def main(chosen: list[str]) -> int:
    there = NAMES + ONLY_BY_NAME
    unknown = set(chosen) - set(there)
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are {', '.join(there)}\n")
        return 2
    for name in chosen or NAMES:
        found: Result | list[Result] = import_module(f"benchmarks.{name}").run()
        for at, result in enumerate(found if isinstance(found, list) else [found]):
            keep(f"{name}-{at + 1}" if at else name, result)
            print(result.markdown(), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
