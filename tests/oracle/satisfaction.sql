WITH rated AS (
    SELECT customer_id, value, (getvariable('as_of') - occurred_at) / 86400000000 AS age,
           row_number() OVER (PARTITION BY customer_id ORDER BY place DESC) AS from_last
    FROM seen WHERE kind IN ('review', 'survey') AND value IS NOT NULL
), told AS (
    SELECT customer_id, count(*) FILTER (age <= 365) AS n365,
           max(value) FILTER (from_last = 1) AS last, avg(value) AS mean,
           avg(value) FILTER (from_last > 1) AS mean_before, min(age) AS since_last
    FROM rated GROUP BY ALL
)
SELECT customer_id,
       coalesce(n365, 0) AS ratings_365d,
       last AS last_rating,
       mean AS average_rating,
       last - mean_before AS rating_change,
       since_last AS days_since_last_rating
FROM customers LEFT JOIN told USING (customer_id)
