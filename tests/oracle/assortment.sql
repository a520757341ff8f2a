WITH lines AS (
    SELECT *, (getvariable('as_of') - occurred_at) / 86400000000 AS age
    FROM seen WHERE kind = 'purchase' AND category IS NOT NULL
), categories AS (
    SELECT customer_id, category, count(*) AS n, max(age) AS new_for
    FROM lines GROUP BY ALL
)
SELECT customer_id,
       count(*) AS categories_total,
       (SELECT count(DISTINCT category) FROM lines
        WHERE lines.customer_id = categories.customer_id AND age <= 90) AS categories_90d,
       (SELECT count(DISTINCT category) FROM lines
        WHERE lines.customer_id = categories.customer_id AND age <= 90)
           / (SELECT nullif(count(DISTINCT category), 0) FROM lines
              WHERE lines.customer_id = categories.customer_id AND age > 90)
           AS categories_ratio_90d,
       max(n) / sum(n) AS top_category_share,
       min(new_for) AS days_since_new_category
FROM categories GROUP BY customer_id
