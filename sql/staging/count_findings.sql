-- How many posts each rule found, the most frequent first.
-- Parameters: batch_id
SELECT
    "rule",
    count(*) AS posts
FROM millennium_staging.finding
WHERE batch_no = millennium_staging.batch_number(:batch_id)
GROUP BY "rule"
ORDER BY count(*) DESC, "rule";
