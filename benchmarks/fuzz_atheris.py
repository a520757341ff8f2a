"""Has atheris make up cases, led by the lines that each reaches; `benchmarks.fuzz` starts this.

    python -m benchmarks.fuzz_atheris CASES SECONDS_A_CASE FOLDER

The folder has the cases to begin with. The process fails where a case does, or takes too long.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["service.quick", "service.strict_json", "service.instants",
                                         "service.validation"]):  # fmt: skip
    from benchmarks.fuzz_parser import both
    from service.validation import FIELD_NAMES

if __name__ == "__main__":
    cases, seconds, folder = sys.argv[1:]
    words = Path(folder).with_suffix(".dict")
    words.write_text("".join(f'"\\"{name}\\":"\n' for name in sorted(FIELD_NAMES)))
    options = [f"-runs={cases}", f"-timeout={seconds}", f"-dict={words}", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *options, folder], lambda raw: both(raw) and None)
    atheris.Fuzz()
