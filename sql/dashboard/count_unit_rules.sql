-- Posts of a unit with a finding of each rule, and how many of them staff still have to handle.
-- Parameters: batch_id, units, with_null, handled
SELECT
    found."rule",
    found.severity,
    count(*) AS posts,
    sum(CASE WHEN post.disposition IN :handled THEN 0 ELSE 1 END) AS posts_left
FROM millennium_staging.disposition AS post
INNER JOIN millennium_staging.finding AS found
    ON post.batch_no = found.batch_no AND post.post_id = found.post_id
WHERE
    post.batch_no = millennium_staging.batch_number(:batch_id)
    AND (post.enhet_hsa_id IN :units OR (:with_null = 1 AND post.enhet_hsa_id IS NULL))
GROUP BY found."rule", found.severity
ORDER BY count(*) DESC, found."rule";
