-- What may be seen at as_of: happened inside the window and before as_of, and known before as_of.
CREATE OR REPLACE TEMP TABLE seen AS
SELECT *, row_number() OVER (
    PARTITION BY customer_id
    ORDER BY occurred_at, kind_code, order_id NULLS FIRST, amount NULLS FIRST, value NULLS FIRST,
             quantity NULLS FIRST, discount NULLS FIRST, category NULLS FIRST, case_id NULLS FIRST,
             channel NULLS FIRST, event_id NULLS FIRST) AS place
FROM events
WHERE occurred_at < getvariable('as_of') AND known_at < getvariable('as_of')
  AND occurred_at >= getvariable('as_of') - getvariable('window_days') * 86400000000;

-- Consecutive purchase lines of one order_id are one order; a line without one stands alone.
CREATE OR REPLACE TEMP TABLE orders AS
WITH lines AS (
    SELECT *, lag(order_id) OVER (PARTITION BY customer_id ORDER BY place) AS line_before
    FROM seen WHERE kind = 'purchase'
), numbered AS (
    SELECT *, sum(CASE WHEN order_id = line_before THEN 0 ELSE 1 END)
        OVER (PARTITION BY customer_id ORDER BY place) AS nth
    FROM lines
)
SELECT customer_id, nth, min(occurred_at) AS placed_at, sum(amount) AS cheque,
       sum(discount) AS discount, (getvariable('as_of') - min(occurred_at)) / 86400000000 AS age
FROM numbered GROUP BY customer_id, nth;

-- UTC days with a purchase, and the gap that each ends.
CREATE OR REPLACE TEMP TABLE days AS
SELECT customer_id, on_day, date_diff('day', lag(on_day) OVER who, on_day) AS gap,
       row_number() OVER (PARTITION BY customer_id ORDER BY on_day DESC) AS from_last
FROM (SELECT DISTINCT customer_id, make_timestamp(occurred_at)::DATE AS on_day
      FROM seen WHERE kind = 'purchase')
WINDOW who AS (PARTITION BY customer_id ORDER BY on_day);
