-- A batch's recorded counts beside the counts of its tables now. The rows are asked for without their view, whose join
-- with the batch doubles the work and hides their number from PostgreSQL's planner.
-- Parameters: batch_id
WITH d AS (
    SELECT
        count(*) AS dispositions,
        count(CASE WHEN r.disposition = 'migrate' THEN 1 END) AS migrating
    FROM millennium_staging.disposition_row AS r
    WHERE r.batch_no = millennium_staging.batch_number(:batch_id)
)

SELECT
    batch.posts_extracted,
    batch.posts_staged,
    d.dispositions,
    d.migrating,
    (
        SELECT count(*)
        FROM millennium_staging.bokningsbegaran_row AS b
        WHERE b.batch_no = millennium_staging.batch_number(:batch_id)
    ) AS requests,
    (
        SELECT coalesce(sum(u.posts), 0)
        FROM millennium_staging.unit_summary AS u
        WHERE u.batch_id = :batch_id
    ) AS summarised
FROM millennium_staging.batch AS batch
CROSS JOIN d
WHERE batch.batch_id = :batch_id;
