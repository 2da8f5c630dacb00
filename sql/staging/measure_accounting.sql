-- A batch's accounts beside what its tables hold now.
-- Parameters: batch_id
SELECT
    batch.posts_extracted,
    batch.posts_staged,
    (
        SELECT count(*)
        FROM millennium_staging.disposition AS d
        WHERE d.batch_id = batch.batch_id
    ) AS dispositions,
    (
        SELECT count(*)
        FROM millennium_staging.bokningsbegaran AS b
        WHERE b.batch_id = batch.batch_id
    ) AS requests,
    (
        SELECT coalesce(sum(u.posts), 0)
        FROM millennium_staging.unit_summary AS u
        WHERE u.batch_id = batch.batch_id
    ) AS summarised,
    (
        SELECT count(*)
        FROM millennium_staging.disposition AS d
        WHERE
            d.batch_id = batch.batch_id
            AND d.disposition = 'migrate'
            AND NOT EXISTS (
                SELECT 1
                FROM millennium_staging.bokningsbegaran AS b
                WHERE b.batch_id = d.batch_id AND b.post_id = d.post_id
            )
    ) AS lost,
    (
        SELECT count(*)
        FROM millennium_staging.bokningsbegaran AS b
        WHERE
            b.batch_id = batch.batch_id
            AND NOT EXISTS (
                SELECT 1
                FROM millennium_staging.disposition AS d
                WHERE d.batch_id = b.batch_id AND d.post_id = b.post_id AND d.disposition = 'migrate'
            )
    ) AS added
FROM millennium_staging.batch AS batch
WHERE batch.batch_id = :batch_id;
