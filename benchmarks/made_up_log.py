"""Ten million events of 500,000 customers in 24 months, the same in every run."""

from pathlib import Path

import duckdb

EVENTS, CUSTOMERS, DAYS = 10_000_000, 500_000, 730
FIRST_DAY = "2024-01-01"
_SQL = """
WITH basket AS (  -- two lines, or one visit and one other event, of one customer
    SELECT i, hash(i // 2) AS h, hash(i * 7 + 1) AS own, (hash(i // 2) % 1000) / 1000.0 AS u
    FROM range({events}) AS t(i)
), placed AS (
    -- A few customers do much, many do little; each is there for a part of the two years.
    SELECT *, (power(hash(h) % 1000003 / 1000003.0, 1.6) * {customers})::INT AS customer
    FROM basket
), timed AS (
    SELECT *, hash(customer) % 640 AS joined,
           least(30 + hash(customer + 1000000007) % 700, {days} - hash(customer) % 640) AS stays
    FROM placed
), made AS (
    SELECT *, h % 10 < 6 AS is_order,
           CASE WHEN h % 10 < 6 THEN 'purchase'
                ELSE ['visit', 'visit', 'visit', 'visit', 'cart_abandoned', 'return',
                      'cancellation', 'complaint', 'complaint_resolved', 'review'
                     ][1 + (own % 10)::INT] END AS kind,
           (CASE WHEN h % 10 < 6 THEN hash(h + 5) ELSE own END) % 1000003 / 1000003.0 AS share
    FROM timed
)
SELECT 'c' || lpad(customer::VARCHAR, 7, '0') AS customer_id,
       TIMESTAMP '{first_day}' + to_microseconds(
           ((joined + share * stays) * 86400000000)::BIGINT) AS occurred_at,
       kind,
       CASE WHEN kind IN ('purchase', 'return', 'cancellation')
            THEN (1 + own % 20000) / 100.0 END AS amount,
       CASE WHEN kind = 'review' THEN 1.0 + own % 5 END AS value,
       CASE WHEN is_order THEN 'o' || (i // 2)::VARCHAR END AS order_id,
       CASE WHEN is_order THEN 'cat' || (own % 40)::VARCHAR END AS category,
       CASE WHEN is_order AND own % 4 = 0 THEN (own % 500) / 100.0 END AS discount,
       CASE WHEN kind IN ('complaint', 'complaint_resolved')
            THEN 'k' || (own % 3)::VARCHAR END AS case_id
FROM made
"""


def write(path: Path, events: int = EVENTS) -> None:
    """Write the log, or its beginning, as one Parquet file."""
    sql = _SQL.format(events=events, customers=max(1, events // 20), days=DAYS, first_day=FIRST_DAY)
    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
