"""Somebody is taken out of a job: the rows that are theirs, and no other."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.jobs.erasure import input_without, without
from service.jobs.job import Format, input_path, results_path
from service.models import Loaded
from tests.contract.client import customer
from tests.jobs import FakeStore, carried, job, ndjson, promoted, results

CANARY = "canary-7f3a"
FORMATS: tuple[Format, ...] = ("ndjson", "csv", "parquet")


@pytest.fixture(scope="module")
def loaded(published: Path) -> Loaded:
    return promoted(published)


ROWS: list[Any] = [
    customer(customer_id="a"),
    customer(customer_id=CANARY),
    customer(customer_id=f"{CANARY}-not"),
    {"customer_id": CANARY},
    {"customer_id": CANARY, "features": {"purchases_30d": -1}},
    customer(customer_id="last"),
]


@pytest.mark.parametrize("results_format", FORMATS)
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_results_without_somebody_are_those_of_the_others(
    loaded: Loaded, tmp_path: Path, results_format: Format, chunk: int
) -> None:
    asked = job(results_format=results_format)
    carried(tmp_path / "j", ndjson(ROWS), loaded, asked, chunk=chunk)
    (tmp_path / "j" / f"results.{results_format}.new").write_text(CANARY)
    removed = without(tmp_path / "j", asked, CANARY)
    left = results_path(tmp_path / "j", asked)
    content = left.read_bytes()
    assert removed.rows == 3
    assert removed.results.sha256 == hashlib.sha256(content).hexdigest()
    assert removed.results.size == len(content)
    assert removed.results.by_status == {"scored": 3}
    assert names(content, results_format) == ["a", f"{CANARY}-not", "last"]
    assert CANARY.encode() not in content.replace(f"{CANARY}-not".encode(), b"")
    assert [path.name for path in (tmp_path / "j").iterdir()] == [left.name]
    assert without(tmp_path / "j", asked, CANARY) == (0, removed.results)
    if results_format != "parquet":
        others = [row for row in ROWS if row["customer_id"] != CANARY]
        assert content == results(tmp_path / "k", ndjson(others), loaded, asked)


def names(content: bytes, results_format: Format) -> list[Any]:
    if results_format == "parquet":
        found: list[Any] = pq.read_table(io.BytesIO(content))["customer_id"].to_pylist()
        return found
    if results_format == "csv":
        return [row["customer_id"] for row in csv.DictReader(io.StringIO(content.decode()))]
    return [json.loads(line)["customer_id"] for line in content.splitlines()]


def test_a_name_that_looks_like_a_formula_is_found_in_a_sheet(
    loaded: Loaded, tmp_path: Path
) -> None:
    asked = job(results_format="csv")
    store = FakeStore({})
    ids = ["=1+1", "'=1+1", "1+1", 'a,"b"']
    carried(tmp_path / "j", ndjson([{"customer_id": one} for one in ids]), loaded, asked,
            store=store)  # fmt: skip
    assert [without(tmp_path / "j", asked, one).rows for one in ids] == [1, 1, 1, 1]


LINES: list[tuple[bytes, bool]] = [
    (b'{"customer_id": "a"}', False),
    (b'{"customer_id": "canary-7f3a"}', True),
    (b'{"customer_id": "canary-7f3a-not"}', False),
    (b'{"customer_id": "canary\\u002d7f3a"}', True),
    (b'{"customer_id": "b", "events": [{"order_id": "canary-7f3a"}]}', False),
    (b'{"customer": "canary-7f3a"}', True),
    (b'["canary-7f3a"]', True),
    (b"{canary-7f3a", True),
    (b'{"customer_id": "b", "customer_id": "canary\\u002d7f3a"}', True),
    (b'{"customer_id": "c", "customer_id": "canary-7f3a"}', True),
    (b"x" * (2 << 20), False),
    (b"x" * (2 << 20) + b"canary-7f3a", True),
    (b"", False),
    (b'{"customer_id": "last"}', False),
]


def test_an_input_is_left_without_whoever_is_taken_out(tmp_path: Path) -> None:
    for ending in (b"\n", b""):
        (tmp_path / "parts").mkdir()
        (tmp_path / "results.ndjson.new").write_text(CANARY)
        input_path(tmp_path).write_bytes(b"\n".join(line for line, _ in LINES) + ending)
        assert input_without(tmp_path, job(), CANARY) == sum(gone for _, gone in LINES)
        left = b"\n".join(line for line, gone in LINES if not gone) + ending
        assert input_path(tmp_path).read_bytes() == left
        assert [path.name for path in tmp_path.iterdir()] == ["input"]


def test_where_nobody_is_taken_out_the_work_is_kept(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    sheet = pa.table({"customer_id": ["a"]})
    for input_format in FORMATS:
        path = input_path(tmp_path)
        path.write_bytes(b'{"customer_id": "a"}' if input_format == "ndjson" else b"customer_id\na")
        if input_format == "parquet":
            pq.write_table(sheet, path)
        before = path.read_bytes()
        assert input_without(tmp_path, job(input_format), CANARY) == 0
        assert path.read_bytes() == before
        assert (tmp_path / "parts").exists()


def test_records_go_whole_and_what_cannot_be_read_with_them(tmp_path: Path) -> None:
    head, keep = b"\xef\xbb\xbfpurchases_30d,customer_id\r\n", b'1,"a\r\nb"\r\n\r\n2,b\r\n'
    gone = b'1,"canary-7f3a"\r\n"canary-7f3a\r\n",x,y\r\n2,"canary-7f3a"x\r\n'
    path = input_path(tmp_path)
    path.write_bytes(head + keep + gone + keep)
    assert input_without(tmp_path, job("csv"), CANARY) == 3
    assert path.read_bytes() == head + keep + keep
    torn = keep + b'3,"canary-7f3a\r\n'
    for content, left in ((head + torn, head + keep), (b"x\n" + torn, b""), (torn, b"")):
        path.write_bytes(content)
        assert input_without(tmp_path, job("csv"), CANARY) == 1
        assert path.read_bytes() == left


def test_parquet_rows_go_whatever_type_the_identifier_has(tmp_path: Path) -> None:
    path = input_path(tmp_path)
    for ids, customer_id in (
        (pa.array([17850, 2, None, 17850]), "17850"),
        (pa.array([17850.0, 2.0, None, 17850.0]), "17850"),
        (pa.array([CANARY, "2", None, CANARY]).dictionary_encode(), CANARY),
    ):
        pq.write_table(pa.table({"customer_id": ids, "x": [1, 2, 3, 4]}), path, row_group_size=3)
        (tmp_path / "parts").mkdir()
        assert input_without(tmp_path, job("parquet"), customer_id) == 2
        assert pq.read_table(path)["x"].to_pylist() == [2, 3]
        assert not (tmp_path / "parts").exists()


def test_of_parquet_that_cannot_be_read_nothing_is_left(tmp_path: Path) -> None:
    path = input_path(tmp_path)
    for content in (b"PAR1" + CANARY.encode(), _without_customers()):
        path.write_bytes(content)
        input_without(tmp_path, job("parquet"), CANARY)
        assert path.read_bytes() == b""


def _without_customers() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": [CANARY]}), sink)
    return sink.getvalue()


def test_a_job_taken_up_after_that_starts_anew_without_them(loaded: Loaded, tmp_path: Path) -> None:
    others = [row for row in ROWS if row["customer_id"] != CANARY]
    assert (
        carried(tmp_path / "j", ndjson(ROWS), loaded, chunk=2, keep_going=lambda n: n < 4) is None
    )
    assert input_without(tmp_path / "j", job(), CANARY) == 3
    assert results(tmp_path / "j", b"", loaded) == results(tmp_path / "k", ndjson(others), loaded)
