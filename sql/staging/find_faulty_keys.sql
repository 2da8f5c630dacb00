-- Rows without a post_id, and posts that occur more than once: a comparison by key detects neither.
-- Parameters: batch_id
SELECT
    'disposition' AS place,
    post_id,
    count(*) AS copies
FROM millennium_staging.disposition
WHERE batch_no = millennium_staging.batch_number(:batch_id)
GROUP BY post_id
HAVING count(*) > 1 OR post_id IS NULL
UNION ALL
SELECT
    'bokningsbegaran' AS place,
    post_id,
    count(*) AS copies
FROM millennium_staging.bokningsbegaran
WHERE batch_no = millennium_staging.batch_number(:batch_id)
GROUP BY post_id
HAVING count(*) > 1 OR post_id IS NULL
ORDER BY place, post_id;
