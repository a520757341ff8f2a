WITH judged AS (SELECT *, coalesce(discount, 0) > 0 AS is_discounted FROM orders)
SELECT customer_id,
       avg(is_discounted::INT) AS discounted_share,
       avg(is_discounted::INT) FILTER (age <= 180) AS discounted_share_180d,
       CASE WHEN sum(cheque) > 0 THEN
           coalesce(sum(discount) FILTER (is_discounted), 0)
           / (sum(cheque) + coalesce(sum(discount) FILTER (is_discounted), 0)) END
           AS average_discount_rate,
       max_by(is_discounted::INT, nth) AS last_order_discounted,
       min(age) FILTER (NOT is_discounted) AS days_since_full_price
FROM judged GROUP BY customer_id
