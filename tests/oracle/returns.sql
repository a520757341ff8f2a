WITH bought AS (
    SELECT customer_id, count(*) AS n, sum(cheque) AS spent, max(placed_at) AS last
    FROM orders GROUP BY ALL
), back AS (
    SELECT customer_id,
           count(*) FILTER (kind = 'return') AS n,
           count(*) FILTER (kind = 'return' AND age <= 90) AS r90,
           count(*) FILTER (kind = 'return' AND age <= 365) AS r365,
           min(age) FILTER (kind = 'return') AS since_return,
           count(*) FILTER (kind = 'cancellation' AND age <= 90) AS c90,
           count(*) FILTER (kind = 'cancellation' AND age <= 365) AS c365,
           min(age) FILTER (kind = 'cancellation') AS since_cancellation,
           sum(amount) AS money,
           count(*) FILTER (occurred_at >= last) AS since_purchase
    FROM (SELECT *, (getvariable('as_of') - occurred_at) / 86400000000 AS age FROM seen
          WHERE kind IN ('return', 'cancellation'))
    LEFT JOIN (SELECT customer_id, last FROM bought) USING (customer_id) GROUP BY ALL
)
SELECT customer_id,
       coalesce(r90, 0) AS returns_90d,
       coalesce(r365, 0) AS returns_365d,
       coalesce(back.n, 0) / bought.n AS returns_per_order,
       CASE WHEN spent > 0 THEN coalesce(money, 0) / spent END AS returned_amount_share,
       since_return AS days_since_last_return,
       coalesce(c90, 0) AS cancellations_90d,
       coalesce(c365, 0) AS cancellations_365d,
       since_cancellation AS days_since_last_cancellation,
       coalesce(since_purchase, 0) AS returns_since_last_purchase
FROM customers LEFT JOIN bought USING (customer_id) LEFT JOIN back USING (customer_id)
