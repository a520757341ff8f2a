WITH came AS (
    SELECT customer_id,
           count(*) FILTER (kind = 'visit' AND age <= 7) AS v7,
           count(*) FILTER (kind = 'visit' AND age <= 30) AS v30,
           count(*) FILTER (kind = 'visit' AND age <= 90) AS v90,
           count(*) FILTER (kind = 'visit' AND age > 30 AND age <= 180) AS earlier,
           min(age) FILTER (kind = 'visit') AS since_last,
           max(age) FILTER (kind = 'visit') AS longest,
           count(*) FILTER (kind = 'visit' AND age < silence) AS since_purchase,
           count(*) FILTER (kind = 'cart_abandoned' AND age <= 30) AS c30,
           count(*) FILTER (kind = 'cart_abandoned' AND age <= 90) AS c90
    FROM (SELECT *, (getvariable('as_of') - occurred_at) / 86400000000 AS age FROM seen)
    LEFT JOIN (SELECT customer_id, min(age) AS silence FROM orders GROUP BY ALL)
        USING (customer_id)
    GROUP BY ALL
)
SELECT customer_id,
       coalesce(v7, 0) AS visits_7d,
       coalesce(v30, 0) AS visits_30d,
       coalesce(v90, 0) AS visits_90d,
       since_last AS days_since_last_visit,
       CASE WHEN longest >= 60 THEN 30 * earlier / (least(longest, 180) - 30) END AS earlier_visits_30d,
       (v30 + 1) / (earlier_visits_30d + 1) AS visit_ratio_30d,
       coalesce(since_purchase, 0) AS visits_since_last_purchase,
       coalesce(c30, 0) AS carts_abandoned_30d,
       coalesce(c90, 0) AS carts_abandoned_90d
FROM customers LEFT JOIN came USING (customer_id)
