SELECT customer_id,
       max(age) AS tenure_days,
       max(age) - min(age) AS active_span_days,
       (max(age) - min(age)) / max(age) AS active_share_of_tenure,
       CASE WHEN (SELECT count(*) FROM days WHERE days.customer_id = orders.customer_id) = 1
            THEN 1 ELSE 0 END AS is_one_time_buyer
FROM orders GROUP BY customer_id
