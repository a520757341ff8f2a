"""Ask whether a locked package has a known vulnerability (``make audit``).

pip-audit asks the advisory service of the package index. Where that does not answer it passes over
every package, says "No known vulnerabilities found" and succeeds; here that is no success.

Exit codes: 0 every package was asked about and nothing is known; 1 something is known; 2 some or
all packages could not be asked about.
"""

import json
import subprocess
import sys
from typing import Any

from requirements.check import HERE

LOCKS = ("dev", "build", "uv", "audit")  # the first holds those of the service and of training


def verdict(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Return the exit code and what to tell, of pip-audit's report as JSON."""
    packages = report["dependencies"]
    known = [
        f"{package['name']} {package['version']}: {found['id']}"
        f" ({', '.join(found['fix_versions']) or 'nothing'} mends it)"
        for package in packages
        for found in package.get("vulns", [])
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    asked = len(packages) - len(skipped)
    lines = [f"{asked} of {len(packages)} locked packages asked about, {len(known)} advisories"]
    if not asked:
        lines.append("NOT AUDITED: the advisory service does not answer here; run it where it does")
    elif skipped:
        lines.append(f"NOT AUDITED: {', '.join(skipped)}")
    return (1 if known else 2 if skipped or not packages else 0), [*known, *lines]


def main() -> int:
    """Ask, and tell."""
    locks = [part for lock in LOCKS for part in ("--requirement", str(HERE / f"{lock}.txt"))]
    ask = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *ask, *locks],
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout.startswith("{"):
        print(done.stderr, "NOT AUDITED: pip-audit failed", sep="\n", file=sys.stderr)
        return 2
    code, lines = verdict(json.loads(done.stdout))
    print(*lines, sep="\n", file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
