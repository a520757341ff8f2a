from datetime import UTC, datetime

import numpy as np
import pytest

from training.config import load
from training.favourites import favourite_categories
from training.ingest import ingest

NOW = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1e6)
AS_OF = int(datetime(2026, 4, 1, tzinfo=UTC).timestamp() * 1e6)


def ingested(tmp_path, rows, columns="customer_id, occurred_at, category"):
    csv = "\n".join([columns.replace(" ", ""), *rows])
    (tmp_path / "log.csv").write_text(f"{csv}\n", encoding="utf-8")
    (tmp_path / "keepwell.toml").write_text(
        f"[events]\nquery = \"SELECT {columns}, 'purchase' AS kind, 1.0 AS amount "
        "FROM read_csv('log.csv', all_varchar = true)\"\n"
    )
    return ingest(load(tmp_path / "keepwell.toml"), tmp_path / "work", now_us=NOW)


def favourites(log, customers):
    found = favourite_categories(log, np.array(customers, dtype=object), AS_OF, 365)
    return None if found is None else found.tolist()


def test_the_category_of_most_lines_wins_and_the_first_bought_of_equals(tmp_path):
    log = ingested(
        tmp_path,
        [
            "a,2026-01-01,soap", "a,2026-01-02,tea", "a,2026-01-03,tea",
            "b,2026-01-01,tea", "b,2026-01-02,soap",
            "c,2026-02-01,",
        ],
    )  # fmt: skip
    assert favourites(log, ["b", "a", "c", "nobody"]) == ["tea", "tea", "", ""]


def test_what_comes_later_or_is_known_later_or_long_past_does_not_count(tmp_path):
    log = ingested(
        tmp_path,
        [
            "a,2026-01-01,tea,2026-01-01",
            "a,2026-04-01,soap,2026-04-01", "a,2026-04-02,soap,2026-04-02",
            "a,2026-03-01,wine,2026-04-01", "a,2026-03-02,wine,2026-04-02",
            "a,2024-01-01,salt,2024-01-01", "a,2024-01-02,salt,2024-01-02",
        ],
        "customer_id, occurred_at, category, known_at",
    )  # fmt: skip
    assert favourites(log, ["a"]) == ["tea"]


def test_names_survive_many_customers_in_many_buckets(tmp_path):
    names = [f'cat "{i % 7}", ü' for i in range(300)]
    quoted = [name.replace('"', '""') for name in names]
    log = ingested(
        tmp_path, [f'c{i},2026-01-0{1 + i % 9},"{name}"' for i, name in enumerate(quoted)]
    )
    assert favourites(log, [f"c{i}" for i in range(300)]) == names


@pytest.mark.parametrize(
    "columns", ["customer_id, occurred_at", "customer_id, occurred_at, category"]
)
def test_a_log_without_categories_has_no_favourites(tmp_path, columns):
    log = ingested(tmp_path, ["a,2026-01-01" + ("," if "category" in columns else "")], columns)
    assert favourites(log, ["a"]) is None
