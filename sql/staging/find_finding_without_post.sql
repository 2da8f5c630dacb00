-- Posts that have findings and no disposition.
-- Parameters: batch_id
SELECT DISTINCT f.post_id
FROM millennium_staging.finding AS f
WHERE
    f.batch_no = millennium_staging.batch_number(:batch_id)
    AND NOT EXISTS (
        SELECT 1
        FROM millennium_staging.disposition AS d
        WHERE d.batch_no = f.batch_no AND d.post_id = f.post_id
    )
ORDER BY f.post_id;
