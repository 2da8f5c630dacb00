-- Posts that migrate and have no booking request: patients who would be lost.
-- Parameters: batch_id
SELECT d.post_id
FROM millennium_staging.disposition AS d
WHERE
    d.batch_no = millennium_staging.batch_number(:batch_id)
    AND d.disposition = 'migrate'
    AND NOT EXISTS (
        SELECT 1
        FROM millennium_staging.bokningsbegaran AS b
        WHERE b.batch_no = d.batch_no AND b.post_id = d.post_id
    )
ORDER BY d.post_id;
