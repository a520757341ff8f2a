"""What is in finished results: found out from the file alone."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import orjson

from service.jobs.job import Finished, Format
from service.jobs.rows_in import arrow


def counted(results: Path, results_format: Format) -> Finished:
    """Count and digest finished results."""
    by_status = Counter[str]()
    if results_format == "parquet":
        by_status.update(arrow("service.jobs.parquet_out").statuses(results))
    elif results_format == "csv":
        with results.open(encoding="utf-8", newline="") as sheet:
            by_status.update(row["status"] for row in csv.DictReader(sheet))
    else:
        with results.open("rb") as lines:
            by_status.update(orjson.loads(line)["status"] for line in lines)
    with results.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    return Finished(by_status.total(), dict(by_status), sha256, results.stat().st_size)
