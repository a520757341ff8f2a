from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.ready_table import NOW_US, QUERY, lines, write
from training.config import Problem
from training.table.rows import read
from training.table.usability import TableUsability, assess, shifted_share

DATED = QUERY.replace("plan,", "made, home, plan,")


def assessed(
    folder: Path,
    rows: list[str],
    query: str = QUERY,
    more: str = "",
    problem: Problem | None = None,
) -> TableUsability:
    found = read(write(folder, rows, query, more), now_us=NOW_US)
    return assess(found, problem or Problem(), NOW_US)


def test_a_sound_table_has_nothing_to_warn_of(tmp_path: Path) -> None:
    found = assessed(tmp_path, lines(), DATED, 'as_of = "made"\ngroup = "home"\n')
    assert found.warnings() == ()
    assert found.lines()[0] == "400 rows: 400 usable of 400 customers, 0 quarantined"
    assert found.groups == 200
    assert found.first is not None
    assert found.first.startswith("2025-01-0")
    assert 0.05 < found.to_dict()["columns"]["spend"]["missing_share"] < 0.15


def test_everything_that_is_said_is_in_the_json_too(tmp_path: Path) -> None:
    found = assessed(tmp_path, [*lines(), ",yes,2025-01-01,h1,gold,1,1,1"])
    answer = found.to_dict()
    assert answer["quarantined"] == {"customer_id_missing": 1}
    assert answer["rows"] == 401
    assert answer["churn_rate"] == found.churned / 400
    assert answer["warnings"] == list(found.warnings())


def test_too_few_rows_or_outcomes_are_told(tmp_path: Path) -> None:
    warnings = assessed(tmp_path, lines(60)).warnings()
    assert any("too few rows to learn from (60)" in warning for warning in warnings)
    assert any("too few rows of one outcome" in warning for warning in warnings)


def test_rows_of_the_same_values_are_told(tmp_path: Path) -> None:
    rows = lines(300)
    copies = [row.replace("c", "k", 1) for row in rows[:60]]
    warnings = assessed(tmp_path, [*rows, *copies]).warnings()
    assert any("120 rows (33%) have the same values" in warning for warning in warnings)


def test_equal_rows_of_a_coarse_table_are_coincidences(tmp_path: Path) -> None:
    coarse = QUERY.replace("plan, calls, spend, noise", "plan, calls > 2 AS many")
    assert assessed(tmp_path, lines(), coarse).warnings() == ()


def test_customers_who_come_back_with_their_numbers_moved_are_told(tmp_path: Path) -> None:
    query = f"""
    SELECT * FROM ({QUERY}) UNION ALL
    SELECT customer_id || 'x', is_churn, plan, calls + 1, spend + 25, noise + 1 FROM ({QUERY})
    """
    found = assessed(tmp_path / "a", lines(300), query)
    assert any("come back with every number moved" in warning for warning in found.warnings())
    paired = query.replace("SELECT *", "SELECT *, customer_id AS pair").replace(
        "noise + 1", "noise + 1, customer_id AS pair"
    )
    known = assessed(tmp_path / "b", lines(300), paired, 'group = "pair"\n')
    assert known.shifted > 0.8
    assert known.warnings() == ()


def test_a_table_of_independent_customers_does_not_come_back(tmp_path: Path) -> None:
    rows = read(write(tmp_path, lines(600), more=""), now_us=NOW_US).rows
    assert shifted_share(rows) < 0.05
    rounded = replace(rows, X=np.round(rows.X))
    assert shifted_share(rounded) < 0.5


def test_columns_that_say_nothing_are_named(tmp_path: Path) -> None:
    query = QUERY.replace(
        "calls,",
        "calls, 7 AS seven, NULL::DOUBLE AS nothing,"
        " CASE WHEN calls > 4 THEN 1.5 END AS seldom, 1000 + row_number() OVER () AS number,",
    )
    warnings = assessed(tmp_path, lines(), query).warnings()
    assert any("'seven' has the same value in every row" in warning for warning in warnings)
    assert any("'nothing' has no value at all" in warning for warning in warnings)
    assert any("'seldom' is missing in" in warning for warning in warnings)
    assert any("'number' has 400 different values" in warning for warning in warnings)
    assert len(warnings) == 4


def test_a_category_in_nearly_every_row_is_an_identifier(tmp_path: Path) -> None:
    query = QUERY.replace("calls,", "calls, client || 'x' AS mail,")
    warnings = assessed(tmp_path, lines(1100), query).warnings()
    assert any("'mail' has 1,100 different values" in warning for warning in warnings)


def test_labels_that_cannot_be_final_are_told(tmp_path: Path) -> None:
    rows = [*lines(), "z,yes,2026-11-01,h1,gold,1,1,1"]
    more = 'as_of = "made"\ngroup = "home"\n'
    problem = Problem(horizon_days=30)
    warnings = assessed(tmp_path, rows, DATED, more, problem).warnings()
    assert warnings == (
        "1 rows are younger than the lead time and the horizon of [problem]: their label cannot be "
        "final",
    )
