WITH last AS (SELECT customer_id, min(age) AS silence FROM orders GROUP BY ALL),
recent AS (
    SELECT customer_id, max(gap) FILTER (from_last = 1) AS g1, max(gap) FILTER (from_last = 2) AS g2,
           max(gap) FILTER (from_last = 3) AS g3, max(gap) FILTER (from_last = 4) AS g4
    FROM days GROUP BY ALL
), own AS (
    SELECT customer_id, count(gap) AS n, avg(gap) AS mean, median(gap) AS median,
           max(gap) AS longest, stddev_pop(gap) AS deviation, avg(ln(gap)) AS log_mean,
           stddev_pop(ln(gap)) AS log_deviation,
           avg(CASE WHEN gap > silence THEN 1 ELSE 0 END) FILTER (gap IS NOT NULL) AS over_silence,
           avg(CASE WHEN gap > silence + getvariable('horizon_days') THEN 1 ELSE 0 END)
               FILTER (gap IS NOT NULL) AS over_horizon
    FROM days JOIN last USING (customer_id) GROUP BY ALL
)
SELECT customer_id,
       silence AS days_since_last_purchase,
       mean AS average_gap_days,
       median AS median_gap_days,
       longest AS longest_gap_days,
       CASE WHEN n >= 2 THEN deviation END AS gap_deviation_days,
       g1 AS gap_1_days,
       g2 AS gap_2_days,
       g3 AS gap_3_days,
       g4 AS gap_4_days,
       (g1 + g2) / 2 AS average_last_2_gaps_days,
       (g1 + g2) / 2 / mean AS gap_trend,
       silence / mean AS silence_over_own_gap,
       silence / median AS silence_over_median_gap,
       silence / longest AS silence_over_longest_gap,
       silence / g1 AS silence_over_gap_1,
       silence / g2 AS silence_over_gap_2,
       log_mean AS mean_log_gap,
       CASE WHEN n >= 2 THEN log_deviation END AS deviation_log_gap,
       over_silence AS share_of_gaps_over_silence,
       over_horizon AS share_of_gaps_over_horizon
FROM last JOIN recent USING (customer_id) JOIN own USING (customer_id)
