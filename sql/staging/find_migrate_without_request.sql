-- Posts that migrate and have no booking request: patients who would be lost.
-- Parameters: batch_id
SELECT d.post_id
FROM millennium_staging.disposition AS d
WHERE
    d.batch_id = :batch_id
    AND d.disposition = 'migrate'
    AND NOT EXISTS (
        SELECT 1
        FROM millennium_staging.bokningsbegaran AS b
        WHERE b.batch_id = d.batch_id AND b.post_id = d.post_id
    )
ORDER BY d.post_id;
