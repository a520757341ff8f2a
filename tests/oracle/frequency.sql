WITH counted AS (
    SELECT customer_id, count(*) AS n, max(age) AS tenure, min(placed_at) AS first,
           count(*) FILTER (age <= 30) AS n30, count(*) FILTER (age <= 60) AS n60,
           count(*) FILTER (age <= 90) AS n90, count(*) FILTER (age <= 180) AS n180,
           count(*) FILTER (age <= 365) AS n365
    FROM orders GROUP BY ALL
), halves AS (
    -- The relationship's middle, to the microsecond.
    SELECT customer_id, avg(CASE WHEN placed_at >= first + (getvariable('as_of') - first) // 2
                            THEN 1 ELSE 0 END) AS later
    FROM orders JOIN counted USING (customer_id) GROUP BY ALL
), season AS (
    SELECT getvariable('as_of') - 365 * 86400000000 AS opens,
           opens + getvariable('horizon_days') * 86400000000 AS closes
), calendar AS (
    SELECT customer_id, count(*) AS n_days, max(on_day) AS last_day,
           count(*) FILTER (epoch_us(on_day::TIMESTAMP) >= opens
                            AND epoch_us(on_day::TIMESTAMP) < closes) AS in_season
    FROM days, season GROUP BY ALL
), weekdays AS (
    SELECT customer_id, sum(n * n) AS squares
    FROM (SELECT customer_id, isodow(on_day), count(*) AS n FROM days GROUP BY ALL) GROUP BY ALL
), month_days AS (
    SELECT customer_id, sum(n * n) AS squares
    FROM (SELECT customer_id, day(on_day), count(*) AS n FROM days GROUP BY ALL) GROUP BY ALL
)
SELECT customer_id,
       n30 AS purchases_30d,
       n60 AS purchases_60d,
       n90 AS purchases_90d,
       n180 AS purchases_180d,
       n365 AS purchases_365d,
       n AS purchases_total,
       n_days AS purchase_days_total,
       30 * n / greatest(tenure, 30) AS purchases_per_month,
       CASE WHEN tenure >= 60 THEN (n30 + 1) / (30 * (n - n30) / (tenure - 30) + 1) END
           AS frequency_ratio_30d,
       CASE WHEN tenure >= 180 THEN (n90 + 1) / (90 * (n - n90) / (tenure - 90) + 1) END
           AS frequency_ratio_90d,
       CASE WHEN tenure >= 360 THEN (n180 + 1) / (180 * (n - n180) / (tenure - 180) + 1) END
           AS frequency_ratio_180d,
       CASE WHEN tenure >= 180 THEN 90 * (n - n90) / (tenure - 90) END AS earlier_pace_90d,
       later AS recent_half_share,
       CASE WHEN first < closes THEN in_season END AS purchases_same_season,
       weekdays.squares / (n_days * n_days) AS weekday_concentration,
       month_days.squares / (n_days * n_days) AS month_day_concentration,
       isodow(last_day) - 1 AS last_weekday,
       n / n_days AS orders_per_purchase_day
FROM counted JOIN halves USING (customer_id) JOIN calendar USING (customer_id)
JOIN weekdays USING (customer_id) JOIN month_days USING (customer_id), season
