"""`python -m benchmarks [name ...]`: run them, print the tables, write docs/benchmarks.md."""

import sys
from importlib import import_module

from benchmarks.report import Result, keep

NAMES = ("customer", "features", "bulk", "whole")


def main(chosen: list[str]) -> int:
    unknown = set(chosen) - set(NAMES)
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}\n")
        return 2
    for name in chosen or NAMES:
        result: Result = import_module(f"benchmarks.{name}").run()
        keep(name, result)
        print(result.markdown(), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
