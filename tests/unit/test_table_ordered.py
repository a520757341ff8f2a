"""A ready table for scoring: sorted outside memory, whole customers at a time."""

from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from churn.errors import DataError, MappingError
from tests.ready_table import NOW_US, QUERY, lines, write
from training.table.ordered import in_order, that_count

DATED = QUERY.replace("plan,", "made, plan,")


def row(
    client: str, made: str = "2025-01-01", plan: str = "gold", calls: str = "2", left: str = "no"
) -> str:
    return f"{client},{left},{made},h,{plan},{calls},1.5,0.5"


def counted(
    folder: Path, rows: list[str], query: str = QUERY, as_of: int | None = None, chunk: int = 2
) -> list[tuple[Any, ...]]:
    """Customer, plan and calls of the rows that count, read a few at a time."""
    more = 'as_of = "made"' if query is DATED else ""
    config = write(folder, rows, query, more + "\n")
    work = folder / "work"
    work.mkdir()
    with in_order(config, work, now_us=NOW_US) as table:
        names = [column.name for column in table.columns]
        chunks = list(table.chunks(chunk, as_of))
    assert not list(work.iterdir())
    customers = [set(part.column("customer_id").to_pylist()) for part in chunks]
    assert all(not before & after for before, after in pairwise(customers))
    whole = pa.concat_tables([that_count(part) for part in chunks])
    columns = ["customer_id", *(f"own_{names.index(name)}" for name in ("plan", "calls"))]
    return list(zip(*(whole.column(name).to_pylist() for name in columns), strict=True))


def test_customers_come_in_order_whatever_the_chunks(tmp_path: Path) -> None:
    rows = lines(300)
    Random(1).shuffle(rows)
    few, many = counted(tmp_path / "a", rows, chunk=7), counted(tmp_path / "b", rows, chunk=4000)
    assert few == many
    assert [one[0] for one in few] == sorted(f"c{at}" for at in range(300))


def test_a_repeat_is_left_out_and_a_second_row_is_not(tmp_path: Path) -> None:
    rows = [row("b"), row("a"), row("b", left="yes"), row("b", calls=""), row("b", plan="basic")]
    assert counted(tmp_path, rows) == [
        ("a", "gold", 2), ("b", "basic", 2), ("b", "gold", None), ("b", "gold", 2),
    ]  # fmt: skip


def test_the_latest_row_that_was_known_counts(tmp_path: Path) -> None:
    rows = [
        row("a", "2025-03-01", calls="3"), row("a", "2025-01-01", calls="1"),
        row("a", "2025-02-01", calls="2"), row("b", "2025-02-01", calls="7"),
        row("b", "2025-02-01", calls="9"), row("c", "2025-03-01"),
    ]  # fmt: skip
    assert counted(tmp_path / "a", rows, DATED) == [
        ("a", "gold", 3), ("b", "gold", 9), ("c", "gold", 2),
    ]  # fmt: skip
    february = 1_738_368_000_000_000
    assert counted(tmp_path / "b", rows, DATED, february) == [("a", "gold", 2), ("b", "gold", 9)]
    assert len(counted(tmp_path / "c", rows, DATED, february - 1)) == 1


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    query = QUERY.replace("left_us AS is_churn,", "")
    config = write(tmp_path, [row(""), row(""), row("a", left="")], query, "")
    with in_order(config, tmp_path, now_us=NOW_US) as table:
        assert (table.rows, table.quarantined) == (1, {"customer_id_missing": 2})
    config = write(tmp_path, [row("")], query, "")
    with (
        pytest.raises(DataError, match=r"gives no usable row \(1 rows\); most often: cust"),
        in_order(config, tmp_path, now_us=NOW_US),
    ):
        pass


def test_a_failing_query_is_told_and_leaves_the_process_where_it_was(tmp_path: Path) -> None:
    query = QUERY.replace("calls,", "calls, error('no')::DOUBLE AS broken,")
    here = Path.cwd()
    with (
        pytest.raises(MappingError, match=r"keepwell.toml: \[table\] query, .*no"),
        in_order(write(tmp_path, [row("a")], query, ""), tmp_path, now_us=NOW_US),
    ):
        pass
    assert Path.cwd() == here
