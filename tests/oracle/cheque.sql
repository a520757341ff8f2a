WITH priced AS (
    SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY nth DESC) AS from_last
    FROM orders WHERE cheque IS NOT NULL
), relation AS (SELECT customer_id, max(age) AS tenure FROM orders GROUP BY ALL)
SELECT customer_id,
       avg(cheque) AS average_cheque,
       max(cheque) FILTER (from_last = 1) AS last_cheque,
       max(cheque) AS largest_cheque,
       CASE WHEN count(*) >= 2 THEN stddev_pop(cheque) / avg(cheque) END AS cheque_deviation,
       coalesce(sum(cheque) FILTER (age <= 30), 0) AS spend_30d,
       coalesce(sum(cheque) FILTER (age <= 90), 0) AS spend_90d,
       coalesce(sum(cheque) FILTER (age <= 365), 0) AS spend_365d,
       sum(cheque) AS spend_total,
       avg(cheque) FILTER (from_last > 3) AS earlier_average_cheque,
       avg(cheque) FILTER (from_last <= 3) AS average_last_3_cheques,
       last_cheque / avg(cheque) FILTER (from_last > 1) AS last_cheque_ratio,
       average_last_3_cheques / earlier_average_cheque AS last_3_cheques_ratio,
       CASE WHEN tenure >= 180 THEN
           spend_90d / (sum(cheque) FILTER (age > 90) / (tenure - 90) * 90) END AS spend_ratio_90d
FROM priced JOIN relation USING (customer_id) GROUP BY customer_id, tenure
