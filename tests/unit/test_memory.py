"""What only starting needed is given back, and the process goes on as before."""

import json
import subprocess
import sys

import pytest

from churn.compiled import HAS_NUMBA

# In a process of its own: the collector's settings and the pages are the whole process's.
ALONE = """
import gc, json, re
from pathlib import Path

import numba

from service.memory import COLLECT_AFTER, settle


def kilobytes_of_code():
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match("[0-9a-f]+-[0-9a-f]+ ", line):
            counts = " r-xp " in line and "libllvmlite" in line
        elif counts and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


before = kilobytes_of_code()
settle()
after = kilobytes_of_code()
print(json.dumps({
    "before": before,
    "after": after,
    "compiled later": numba.njit(lambda x: x * 3)(14),
    "frozen": gc.get_freeze_count() > 0,
    "threshold": gc.get_threshold() == COLLECT_AFTER,
}))
"""


@pytest.mark.skipif(not HAS_NUMBA, reason="only Numba brings the compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a process's pages")
def test_the_compilers_code_leaves_memory_and_comes_back_when_it_is_needed() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=True
    )
    told = json.loads(ended.stdout)
    assert told["before"] > 10_000
    assert told["after"] < told["before"] / 10
    assert told["compiled later"] == 42
    assert told["frozen"]
    assert told["threshold"]
