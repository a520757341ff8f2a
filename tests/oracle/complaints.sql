-- Between two resolutions of one case the complaints are one episode, which the later resolution
-- closes. All complaints without a case share one such sequence, but count one by one.
WITH placed AS (
    SELECT *, count(*) FILTER (kind = 'complaint_resolved') OVER (
        PARTITION BY customer_id, case_id ORDER BY place
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS episode
    FROM seen WHERE kind IN ('complaint', 'complaint_resolved')
), episodes AS (
    SELECT customer_id, case_id, episode,
           count(*) FILTER (kind = 'complaint') AS complaints,
           min(occurred_at) FILTER (kind = 'complaint') AS opened,
           max(occurred_at) FILTER (kind = 'complaint') AS latest,
           max(occurred_at) FILTER (kind = 'complaint_resolved') AS closed,
           max(place) FILTER (kind = 'complaint_resolved') AS closed_place,
           any_value(value) FILTER (kind = 'complaint_resolved') AS rating
    FROM placed GROUP BY ALL HAVING complaints > 0
), states AS (
    SELECT customer_id,
           coalesce(sum(CASE WHEN case_id IS NULL THEN complaints ELSE 1 END)
                    FILTER (closed IS NULL), 0) AS open,
           (getvariable('as_of') - max(latest) FILTER (closed IS NULL)) / 86400000000 AS since_open,
           avg((closed - opened) / 86400000000) AS resolution,
           max(closed_place) AS last_closed
    FROM episodes GROUP BY ALL
), counted AS (
    SELECT customer_id, count(*) FILTER (kind = 'complaint') AS n,
           count(*) FILTER (kind = 'complaint' AND age <= 30) AS n30,
           count(*) FILTER (kind = 'complaint' AND age <= 90) AS n90,
           count(*) FILTER (kind = 'complaint' AND age <= 365) AS n365,
           min(age) FILTER (kind = 'complaint') AS since_last,
           max(place) FILTER (kind = 'complaint') AS last_place
    FROM (SELECT *, (getvariable('as_of') - occurred_at) / 86400000000 AS age FROM seen)
    GROUP BY ALL
)
SELECT customer_id,
       coalesce(n30, 0) AS complaints_30d,
       coalesce(n90, 0) AS complaints_90d,
       coalesce(n365, 0) AS complaints_365d,
       coalesce(open, 0) AS open_complaints,
       since_last AS days_since_last_complaint,
       since_open AS days_since_open_complaint,
       resolution AS average_resolution_days,
       (SELECT (closed - opened) / 86400000000 FROM episodes
        WHERE episodes.customer_id = customers.customer_id AND closed_place = last_closed)
           AS last_resolution_days,
       (SELECT rating FROM episodes
        WHERE episodes.customer_id = customers.customer_id AND closed_place = last_closed)
           AS last_resolution_rating,
       coalesce(n, 0) / (SELECT nullif(count(*), 0) FROM orders
                         WHERE orders.customer_id = customers.customer_id) AS complaints_per_order,
       CASE WHEN last_place IS NOT NULL THEN
           (SELECT count(*) FROM seen WHERE seen.customer_id = customers.customer_id
            AND kind = 'purchase' AND place > last_place) END AS purchases_since_complaint
FROM customers LEFT JOIN counted USING (customer_id) LEFT JOIN states USING (customer_id)
