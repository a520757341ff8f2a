"""Lists of any length: what a job answers, row by row, and what of it depends on nothing else."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from churn.features import FEATURE_NAMES
from service import instants
from service.jobs.job import JobFailed, Limits, results_path
from service.jobs.rows_out import SHEET
from service.models import Loaded
from service.settings import Settings
from tests.contract.client import AS_OF, AppClient, build, customer, purchases
from tests.jobs import RECEIVED, FakeStore, carried, job, ndjson, promoted, results, rows_of
from tests.ready_table import trained

OF_THE_REQUEST = ("scored_at", "request_id")


@pytest.fixture(scope="module")
def loaded(published: Path) -> Loaded:
    return promoted(published)


@pytest.fixture(scope="module")
def client(published: Path) -> Any:
    with build(Settings(models_dir=published)) as client:
        yield client


def answered(client: AppClient, rows: list[Any]) -> list[dict[str, Any]]:
    """What a batch answers, but for what tells of the request."""
    answer = client.post("/v1/score/batch", ndjson(rows), content_type="application/x-ndjson")
    assert answer.status_code == 200
    out = []
    for row in rows_of(answer.content):
        if "type" in row:
            fault = {name: row[name] for name in ("type", "title", "status", "detail", "errors")}
            out.append({"index": row["index"], "status": "error", "error": fault})
        else:
            out.append({name: row[name] for name in row if name not in OF_THE_REQUEST})
    return out


MIXED: list[Any] = [
    customer(),
    customer(customer_id="ru", language="ru", max_reasons=8, direction="both"),
    customer(customer_id="few", max_reasons=1, feeds=["orders"]),
    {"customer_id": "f-1", "as_of": AS_OF, "features": {"days_since_last_purchase": 41.0}},
    {"customer_id": "f-2", "as_of": AS_OF,
     "features": {name: 3.5 for name in FEATURE_NAMES}},
    {"customer_id": "lapsed", "as_of": "2027-11-21T00:00:00Z", "events": purchases()},
    {"customer_id": "", "events": []},
    b"{not json",
    b"",
    b'\xff{"customer_id": "a"}',
    b'{"customer_id": "twice", "customer_id": "twice"}',
    {"customer_id": "typo", "feautures": {}},
    {"customer_id": "typo", "features": {"purchase_30d": 1}},
    {"customer_id": "below", "features": {"purchases_30d": -1}},
    {"customer_id": "long", "events": purchases(3, kind="purchases")},
    [1, 2],
    customer(customer_id="last"),
]  # fmt: skip


def test_each_line_is_answered_as_in_a_batch(
    client: AppClient, loaded: Loaded, tmp_path: Path
) -> None:
    found = rows_of(results(tmp_path / "j", ndjson(MIXED), loaded))
    told = [row.pop("customer_id", None) for row in found if "error" in row]
    expected = answered(client, MIXED)
    assert found == expected
    assert len([row for row in found if "error" in row]) == 10
    assert told == [None, None, None, None, None, "typo", "typo", "below", "long", None]


def test_the_results_are_counted_and_digested(loaded: Loaded, tmp_path: Path) -> None:
    finished = carried(tmp_path / "j", ndjson(MIXED), loaded)
    assert finished is not None
    content = results_path(tmp_path / "j", job()).read_bytes()
    assert finished.sha256 == hashlib.sha256(content).hexdigest()
    assert finished.size == len(content)
    assert (finished.rows, finished.refused, finished.scored) == (17, 10, 5)
    assert finished.by_status == {"scored": 5, "error": 10, "lapsed": 1, "insufficient_history": 1}
    assert [path.name for path in (tmp_path / "j").iterdir()] == ["results.ndjson"]


def test_an_id_alone_is_the_stored_history_as_if_it_had_been_sent(
    loaded: Loaded, tmp_path: Path
) -> None:
    store = FakeStore({f"c-{at}": purchases(at + 1) for at in range(5)})
    ids = [{"customer_id": f"c-{at}"} for at in range(5)]
    sent = [{"customer_id": f"c-{at}", "events": purchases(at + 1)} for at in range(5)]
    found = results(tmp_path / "ids", ndjson(ids), loaded, store=store)
    assert found == results(tmp_path / "events", ndjson(sent), loaded)
    assert store.reads == [5]


def test_only_what_was_received_before_the_submission_is_seen(
    loaded: Loaded, tmp_path: Path
) -> None:
    store = FakeStore({"early": purchases(3)}, write=RECEIVED)
    later = FakeStore({"late": purchases(3)}, write=RECEIVED + 1)
    store.histories |= later.histories
    grown, _ = store.histories["early"].merged(
        FakeStore({"x": purchases(9)}).histories["x"].events(), RECEIVED + 1
    )
    ids = ndjson([{"customer_id": name} for name in ("early", "late", "nobody")])
    before = results(tmp_path / "before", ids, loaded, store=store)
    store.histories["early"] = grown
    assert results(tmp_path / "after", ids, loaded, store=store) == before
    first, *others = rows_of(before)
    assert first["status"] == "scored"
    for row, name in zip(others, ("late", "nobody"), strict=True):
        assert row.keys() == first.keys()
        assert (row["customer_id"], row["status"]) == (name, "unknown_customer")
        assert row["churn_probability"] is row["risk_band"] is row["action"] is None


def test_a_chunk_of_ids_is_read_at_once_and_each_once(loaded: Loaded, tmp_path: Path) -> None:
    store = FakeStore({"a": purchases(), "b": purchases(2)})
    rows = [{"customer_id": "ab"[at % 2]} for at in range(10)]
    assert len(rows_of(results(tmp_path / "j", ndjson(rows), loaded, store=store, chunk=4))) == 10
    assert store.reads == [2, 2, 2]


def test_what_a_line_does_not_say_the_job_says(loaded: Loaded, tmp_path: Path) -> None:
    line = {"customer_id": "c-1042", "events": purchases()}
    asked = job(as_of=instants.parse("2026-10-30T00:00:00Z"), max_reasons=8, direction="both",
                language="ru")  # fmt: skip
    own = {"as_of": "2026-10-30T00:00:00Z", "max_reasons": 8, "direction": "both", "language": "ru"}
    plain = ndjson([line])
    assert results(tmp_path / "1", plain, loaded, asked) == results(
        tmp_path / "2", ndjson([line | own]), loaded
    )
    own = {"as_of": AS_OF, "max_reasons": 3, "direction": "raises", "language": "en"}
    assert results(tmp_path / "3", ndjson([line | own]), loaded, asked) == results(
        tmp_path / "4", plain, loaded
    )


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n \t", b"\r\n"])
def test_a_break_after_the_last_line_opens_no_further_line(
    loaded: Loaded, tmp_path: Path, ending: bytes
) -> None:
    line = ndjson([customer()]).strip()
    assert len(rows_of(results(tmp_path / "j", line + b"\n" + line + ending, loaded))) == 2


def test_a_line_that_is_too_long_is_refused_and_skipped(loaded: Loaded, tmp_path: Path) -> None:
    short = ndjson([{"customer_id": "c", "features": {}}]).strip()
    limits = Limits(line_bytes=len(short))
    lines = b"\n".join([short, b"x" * 5000, short + b" ", short, b"y" * 5000])
    found = rows_of(results(tmp_path / "j", lines, loaded, limits=limits))
    assert ["error" in row for row in found] == [False, True, True, False, True]
    assert found[1]["error"]["errors"] == [{"pointer": "", "code": "body_too_large"}]


def test_a_history_of_too_many_events_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    lines = ndjson([customer(), customer(events=purchases(6))])
    found = rows_of(results(tmp_path / "j", lines, loaded, limits=Limits(events=5)))
    assert [row["status"] for row in found] == ["scored", "error"]


def test_no_rows_have_no_results(loaded: Loaded, tmp_path: Path) -> None:
    for results_format, content in (("ndjson", b""), ("csv", (",".join(SHEET) + "\n").encode())):
        folder = tmp_path / results_format
        finished = carried(folder, b"", loaded, job(results_format=results_format))
        assert finished is not None
        assert (finished.rows, finished.by_status) == (0, {})
        assert results_path(folder, job(results_format=results_format)).read_bytes() == content


@pytest.mark.parametrize("results_format", ["ndjson", "csv"])
@pytest.mark.parametrize("input_format", ["ndjson", "csv"])
def test_however_often_it_is_left_and_taken_up_the_bytes_are_the_same(
    loaded: Loaded, tmp_path: Path, input_format: str, results_format: str
) -> None:
    asked = job(input_format, results_format)
    content = ndjson(MIXED) if input_format == "ndjson" else SHEETS
    whole = results(tmp_path / "whole", content, loaded, asked)
    for chunk in (1, 2, 5):
        answers = iter([False, False, True, False, True, True] * 3 + [True] * 99)
        folder = tmp_path / str(chunk)
        finished, tries = None, 0
        while finished is None:
            finished = carried(
                folder, content, loaded, asked, chunk=chunk if tries == 0 else 3,
                keep_going=lambda _, answers=answers: next(answers),
            )  # fmt: skip
            tries += 1
        assert tries > 2
        assert results_path(folder, asked).read_bytes() == whole
        assert [path.name for path in folder.iterdir()] == [f"results.{results_format}"]


def test_what_is_done_is_not_scored_again(loaded: Loaded, tmp_path: Path) -> None:
    store = FakeStore({f"c-{at}": purchases() for at in range(10)})
    content = ndjson([{"customer_id": f"c-{at}"} for at in range(10)])
    told: list[int] = []

    def three(rows: int) -> bool:
        told.append(rows)
        return len(told) != 3

    for finished in (False, True):
        done = carried(tmp_path / "j", content, loaded, store=store, chunk=2, keep_going=three)
        assert (done is not None) is finished
    assert store.reads == [2] * 5
    assert told == [2, 4, 6, 8, 10, *[10] * 5]


def test_a_job_that_was_killed_after_its_last_rename_is_finished(
    loaded: Loaded, tmp_path: Path
) -> None:
    for results_format in ("ndjson", "csv"):
        folder, asked = tmp_path / results_format, job(results_format=results_format)
        finished = carried(folder, ndjson(MIXED), loaded, asked)
        (folder / "input").write_bytes(b"whatever")
        (folder / "parts").mkdir()
        assert carried(folder, b"", loaded, asked) == finished
        assert [path.name for path in folder.iterdir()] == [f"results.{results_format}"]


def sheet(*rows: dict[str, Any]) -> bytes:
    """A CSV file; lists become JSON."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: json.dumps(x) if isinstance(x, list) else x for name, x in row.items()}
        )
    return out.getvalue().encode()


SHEETS = b"\xef\xbb\xbf" + sheet(
    {"customer_id": "e", "as_of": AS_OF, "events": purchases()},
    {"customer_id": "f", "days_since_last_purchase": 41, "purchases_30d": "+2.50e0"},
    {"customer_id": "wrong", "purchases_30d": "2,5"},
    {"customer_id": "two\nlines", "purchases_30d": "1"},
    {"customer_id": "=1+1", "purchases_30d": ".5"},
    {"customer_id": "odd", "events": "[{]"},
    {"customer_id": "both", "events": purchases(), "purchases_30d": 1},
    {"customer_id": "many", "as_of": "yesterday", "purchases_30d": 1},
)  # fmt: skip


def test_a_csv_list_is_answered_as_its_lines_would_be(loaded: Loaded, tmp_path: Path) -> None:
    names = ("days_since_last_purchase", "purchases_30d")
    lines = [
        {"customer_id": "e", "as_of": AS_OF, "events": purchases()},
        {"customer_id": "f", "features": dict(zip(names, (41.0, 2.5), strict=True))},
    ]
    found = rows_of(results(tmp_path / "csv", SHEETS, loaded, job("csv")))
    assert found[:2] == rows_of(results(tmp_path / "lines", ndjson(lines), loaded))
    assert found[4]["status"] == "insufficient_history"
    faults = {
        row["index"]: (row["customer_id"], row["error"]["detail"][:8], row["error"]["errors"])
        for row in found
        if "error" in row
    }
    assert faults == {
        2: ("wrong", "Line 4: ", [{"pointer": "/features/purchases_30d", "code": "not_a_number"}]),
        3: (None, "Line 5: ", [{"pointer": "/customer_id", "code": "control_character"}]),
        5: ("odd", "Line 8: ", [{"pointer": "/events", "code": "malformed_json"}]),
        6: ("both", "Line 9: ",
            [{"pointer": "/features/purchases_30d", "code": "computed_from_events"}]),
        7: ("many", "Line 10:", [{"pointer": "/as_of", "code": "bad_instant"}]),
    }  # fmt: skip


def test_ids_alone_may_come_as_csv(loaded: Loaded, tmp_path: Path) -> None:
    store = FakeStore({"a": purchases(), "17850": purchases(2)})
    found = rows_of(
        results(tmp_path / "j", b"customer_id\r\na\r\n\r\n17850\r\nx", loaded, job("csv"),
                store=store)
    )  # fmt: skip
    assert [row["status"] for row in found] == ["scored", "scored", "unknown_customer"]
    assert store.reads == [3]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no header"),
        (b"\n", "no header"),
        (b"purchases_30d\n1\n", "no column `customer_id`"),
        (b"customer_id;purchases_30d\na;1\n", "must be separated by commas"),
        (b"id,purchases_30d\na,1\n", "column 1 of the input is not known"),
        (b"customer_id,purchase_30d\n", "column 2 of the input is not known; did you mean `purcha"),
        (b"customer_id,customer_id\n", "same name"),
        (b'{"customer_id": "a"}\n', "is not known"),
        (b"customer_id\na\n\xff\n", "line 3 of the input is not UTF-8"),
        (b'customer_id\na\n"b\n\n', "cut short"),
        (b'customer_id\na\n"' + b"b" * 2000, "longer than"),
        (b"PAR1....", "a Parquet file"),
        (b"\x1f\x8b....", "gzip"),
        (b"\xff\xfec\0u\0", "UTF-16"),
        (b"c\0u\0s\0", "binary"),
    ],
)
def test_what_is_no_csv_list_of_customers_fails_the_job(
    loaded: Loaded, tmp_path: Path, content: bytes, sentence: str
) -> None:
    with pytest.raises(JobFailed, match=sentence):
        carried(tmp_path / "j", content, loaded, job("csv"), limits=Limits(line_bytes=100))


@pytest.mark.parametrize(
    "content", [b"PAR1", b"\x1f\x8b", b'[{"customer_id": "a"}]', b'{"a": "\0"}']
)
def test_what_is_no_list_of_lines_fails_the_job(
    loaded: Loaded, tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(JobFailed, match="the input is not NDJSON"):
        carried(tmp_path / "j", content, loaded)


def test_a_record_that_is_no_csv_is_refused_alone(loaded: Loaded, tmp_path: Path) -> None:
    content = b'customer_id,purchases_30d\na,1\nb"x,1\n"c"d,1\ne,1,2\nf\ng,1\n'
    found = rows_of(results(tmp_path / "j", content, loaded, job("csv")))
    codes = [row["error"]["errors"][0]["code"] if "error" in row else None for row in found]
    assert codes == [None, None, "malformed_csv", "wrong_number_of_cells",
                     "wrong_number_of_cells", None]  # fmt: skip


def test_a_sheet_is_for_a_manager_and_has_no_formulas(loaded: Loaded, tmp_path: Path) -> None:
    store = FakeStore({"=cmd": purchases()})
    rows: list[Any] = [
        {"customer_id": "=cmd"}, {"customer_id": "@x"}, {"customer_id": "c", "events": 1},
        customer(customer_id="c,1"),
    ]  # fmt: skip
    lines = rows_of(results(tmp_path / "lines", ndjson(rows), loaded, store=store))
    content = results(
        tmp_path / "sheet", ndjson(rows), loaded, job(results_format="csv"), store=store
    )
    found = list(csv.DictReader(io.StringIO(content.decode())))
    assert tuple(found[0]) == SHEET
    assert [row["customer_id"] for row in found] == ["'=cmd", "'@x", "c", "c,1"]
    assert [row["status"] for row in found] == ["scored", "unknown_customer", "error", "scored"]
    for row, line in zip(found[::3], lines[::3], strict=True):
        assert float(row["churn_probability"]) == round(line["churn_probability"], 4)
        assert row["risk_band"] == line["risk_band"]
        assert row["reasons"] == " | ".join(reason["text"] for reason in line["reasons"])
        assert row["action"] == line["action"]["code"]
        assert row["action_why"] == line["action"]["why"]
        assert float(row["customer_value"]) == round(line["customer_value"]["amount"], 2)
        assert row["value_segment"] == line["value_segment"]
        assert row["loss_category"] == line["loss_category"]
        assert row["error"] == ""
    assert found[2]["error"] == lines[2]["error"]["detail"]
    assert found[1]["churn_probability"] == found[1]["customer_value"] == ""


def test_parquet_needs_its_extra(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for module in ("parquet_in", "parquet_out"):
        monkeypatch.delitem(__import__("sys").modules, f"service.jobs.{module}", raising=False)
    for asked in (job("parquet"), job("ndjson", "parquet")):
        with pytest.raises(JobFailed, match=r"pip install 'keepwell\[arrow\]'"):
            carried(tmp_path / asked.input_format, b"", loaded, asked)


def test_a_model_that_reads_no_events_has_no_use_for_an_id_alone(tmp_path: Path) -> None:
    trained(tmp_path)
    content = ndjson([{"customer_id": "a"}, customer()])
    found = rows_of(results(tmp_path / "j", content, promoted(tmp_path / "models")))
    codes = [row["error"]["errors"][0]["code"] for row in found]
    assert codes == ["nothing_to_score", "events_not_read"]
