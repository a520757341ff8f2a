"""A text that a spreadsheet would run is made one that it does not, in Python as in SQL."""

import csv
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.sheets import harmless, harmless_sql
from training.reason_lists import REASON
from training.score_files import schema, write

TEXTS = st.text(max_size=5) | st.text("=+-@\t\r\n'a\\x0", max_size=4)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "'a", "'"])
def test_what_looks_like_a_formula_is_made_a_text(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "c-1042", "a=1", " =1", "1-1", "Ünï"])
def test_other_texts_are_left_alone(text: str) -> None:
    assert harmless(text) == text


@given(st.lists(TEXTS, max_size=20))
def test_it_is_the_same_in_sql(texts: list[str]) -> None:
    query = f"SELECT list_transform($texts, lambda text: {harmless_sql('text')})"
    with duckdb.connect() as connection:
        made = connection.execute(query, {"texts": texts}).fetchone()
    assert made == ([harmless(text) for text in texts],)


def test_a_file_of_scores_for_a_manager_holds_no_formula(tmp_path: Path) -> None:
    columns = schema(1)
    nothing = dict.fromkeys(columns.names)
    reason = dict.fromkeys(field.name for field in REASON) | {"text": "-1 purchases"}
    rows = [
        nothing | {"customer_id": "=cmd|' /C calc'!A0", "reasons": [reason]},
        nothing | {"customer_id": "c-1", "reasons": []},
    ]
    out = tmp_path / "scores.csv"
    write(iter([pa.Table.from_pylist(rows, schema=columns)]), out, columns)
    with out.open(newline="") as file:
        found = [(row["customer_id"], row["reasons"]) for row in csv.DictReader(file)]
    assert sorted(found) == [("'=cmd|' /C calc'!A0", "'-1 purchases"), ("c-1", "")]
