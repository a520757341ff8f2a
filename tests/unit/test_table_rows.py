from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from churn.errors import ConfigError, DataError, MappingError
from tests.ready_table import COLUMNS, NOW_US, QUERY, lines, write
from training.settings import read as read_settings
from training.table.rows import Read, read, row_numbers

DATED = QUERY.replace("plan,", "made, home, plan,")


def given(folder: Path, rows: list[str], query: str = QUERY, more: str = "") -> Read:
    return read(write(folder, rows, query, more), now_us=NOW_US)


def row(client: str = "a", left: str = "yes", calls: str = "2", plan: str = "gold") -> str:
    return f"{client},{left},2025-01-01,h1,{plan},{calls},1.5,0.5"


def test_numbers_are_numbers_and_names_are_coded_categories(tmp_path: Path) -> None:
    rows = given(tmp_path, [row("a", plan="gold"), row("b", plan="basic"), row("c", plan="")]).rows
    assert [(c.name, c.kind) for c in rows.columns] == [
        ("plan", "categorical"), ("calls", "numeric"), ("spend", "numeric"), ("noise", "numeric"),
    ]  # fmt: skip
    assert rows.columns[0].categories == ("basic", "gold")
    assert rows.customer_id.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(rows.X[:, 0], [2.0, 1.0, np.nan])


def test_a_column_is_what_it_is_declared_to_be(tmp_path: Path) -> None:
    more = '[table.columns.calls]\nkind = "categorical"\n'
    rows = given(tmp_path, [row("a", calls="2"), row("b", calls="10")], more=more).rows
    assert rows.columns[1].categories == ("10", "2")


@pytest.mark.parametrize(
    ("yes", "no"), [("yes", "no"), ("1", "0"), ("true", "false"), ("Y", "N"), ("1.0", "0.0")]
)
def test_a_label_may_be_written_in_many_ways(tmp_path: Path, yes: str, no: str) -> None:
    read_ = given(tmp_path, [row("a", yes), row("b", no)])
    assert read_.rows.is_churn.tolist() == [True, False]


def test_rows_that_cannot_be_used_are_kept_with_the_reason(tmp_path: Path) -> None:
    query = QUERY.replace("calls,", "calls::VARCHAR AS calls,")
    more = '[table.columns.calls]\nkind = "numeric"\n'
    rows = [row("a"), row(""), row("c", ""), row("d", "maybe"), row("e", calls="many")]
    read_ = given(tmp_path, rows, query, more)
    assert read_.quarantined == {
        "calls_unparseable": 1,
        "customer_id_missing": 1,
        "is_churn_missing": 1,
        "is_churn_not_yes_or_no": 1,
    }
    kept = read_.keep_quarantine(tmp_path / "quarantine.parquet")
    assert kept is not None
    table = pq.read_table(kept)
    assert table.column_names == ["reason", "customer_id", "row"]
    assert sum("maybe" in text for text in table.column("row").to_pylist()) == 1


def test_no_rejected_rows_leave_no_file(tmp_path: Path) -> None:
    assert given(tmp_path, [row("a")]).keep_quarantine(tmp_path / "quarantine.parquet") is None


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path) -> None:
    rows = lines(60)
    more = 'as_of = "made"\ngroup = "home"\n'
    first = given(tmp_path / "a", rows, DATED, more)
    second = given(tmp_path / "b", rows[::-1], DATED, more)
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first.rows.X, second.rows.X)
    np.testing.assert_array_equal(first.rows.group, second.rows.group)
    np.testing.assert_array_equal(first.rows.as_of, second.rows.as_of)


def test_another_value_is_another_fingerprint(tmp_path: Path) -> None:
    first = given(tmp_path / "a", [row("a"), row("b")])
    assert first.fingerprint != given(tmp_path / "b", [row("a"), row("b", "no")]).fingerprint


def test_rows_that_repeat_another_of_the_same_customer_are_left_out(tmp_path: Path) -> None:
    read_ = given(tmp_path, [row("a"), row("b"), row("a"), row("a", "no")])
    assert (len(read_.rows), read_.repeats, read_.given) == (3, 1, 4)


def test_rows_of_a_customer_or_of_a_group_stay_together(tmp_path: Path) -> None:
    rows = [
        "a,yes,2025-01-01,h1,gold,1,1,1",
        "a,no,2025-02-01,h2,gold,2,1,1",
        "b,no,2025-01-01,h2,gold,3,1,1",
        "c,no,2025-01-01,,gold,4,1,1",
        "d,no,2025-01-01,,gold,5,1,1",
    ]
    found = given(tmp_path, rows, DATED, 'group = "home"\nas_of = "made"\n').rows
    # a's two rows, and b, who shares the second's home; c and d share nothing.
    assert found.group.tolist() == [0, 0, 0, 1, 2]


def test_the_group_and_the_date_are_not_learnt_from(tmp_path: Path) -> None:
    found = given(tmp_path, [row()], DATED, 'group = "home"\nas_of = "made"\n').rows
    assert "home" not in {column.name for column in found.columns}
    assert "made" not in {column.name for column in found.columns}
    assert found.as_of is not None
    assert found.as_of.tolist() == [1_735_689_600_000_000]


def test_a_column_of_too_many_categories_is_left_out_and_named(tmp_path: Path) -> None:
    rows = [row(f"c{at}", plan=f"plan{at}") for at in range(1001)]
    found = given(tmp_path, rows)
    assert found.identifiers == {"plan": 1001}
    assert [column.name for column in found.rows.columns] == ["calls", "spend", "noise"]


def test_equal_rows_have_one_number_whatever_their_missing_values() -> None:
    X = np.array([[1.0, np.nan], [1.0, -np.nan], [0.0, 2.0], [-0.0, 2.0], [1.0, 2.0]])
    numbers = row_numbers(X)
    assert numbers[0] == numbers[1]
    assert numbers[2] == numbers[3]
    assert len(set(numbers.tolist())) == 3


WRONG = {
    "no column to predict from": (
        "SELECT client AS customer_id, left_us AS is_churn FROM 'table.csv'", "",
        MappingError, "no column to predict the label from",
    ),
    "no label": (
        "SELECT client AS customer_id, calls FROM 'table.csv'", "",
        MappingError, "gives no column 'is_churn'",
    ),
    "an unknown group": (
        QUERY, 'group = "hom"\n', MappingError, "no column 'hom', which .table. group",
    ),
    "an unknown date": (DATED, 'as_of = "mode"\n', MappingError, "'mode'.*did you mean 'made'"),
    "a column that is not there": (
        QUERY, '[table.columns.cals]\ndirection = 1\n', MappingError, "table.columns.cals",
    ),
    "a name with spaces": (
        QUERY.replace("calls,", 'calls AS "my calls",'), "", MappingError, "AS such_a_name",
    ),
    "a date to learn from": (DATED, "", MappingError, "neither a number nor a category"),
    "no query": ("  ", "", ConfigError, "query must be a SELECT"),
    "an unknown key": (QUERY, 'groups = "home"\n', ConfigError, "did you mean 'group'"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, what: str) -> None:
    query, more, error, message = WRONG[what]
    with pytest.raises(error, match=message):
        given(tmp_path, [row()], query, more)


def test_a_table_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable row \(1 rows\); most often: is_churn_missing"):
        given(tmp_path, [row("a", "")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[problem]\nhorizon_days = 30\n", r"needs \[events\].*or \[table\]"),
        (f'[table]\nquery = "{QUERY.strip()}"\n[events]\nquery = "SELECT 1"\n', "has both"),
        (f'[table]\nquery = "{QUERY.strip()}"\n[features]\nquery = "SELECT 1"\n', "has both"),
    ],
)
def test_a_file_has_an_event_log_or_a_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keepwell.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / "keepwell.toml")


def test_words_and_families_are_the_declared_ones(tmp_path: Path) -> None:
    calls = given(tmp_path, [row()], more=COLUMNS).rows.columns[1]
    assert (calls.family, calls.direction, calls.label["ru"]) == (
        "service",
        1,
        "звонки в поддержку",
    )
