-- A batch's recorded counts beside the counts of its tables now. Posts that migrate and booking requests are matched
-- once: a row without a match is lost or added. The rows are asked for without their view, whose join with the batch
-- doubles the work and hides their number from PostgreSQL's planner.
-- Parameters: batch_id
SELECT
    batch.posts_extracted,
    batch.posts_staged,
    (
        SELECT count(*)
        FROM millennium_staging.disposition_row AS d
        WHERE d.batch_no = millennium_staging.batch_number(:batch_id)
    ) AS dispositions,
    (
        SELECT count(*)
        FROM millennium_staging.disposition_row AS d
        WHERE d.batch_no = millennium_staging.batch_number(:batch_id) AND d.disposition = 'migrate'
    ) AS migrating,
    (
        SELECT count(*)
        FROM millennium_staging.bokningsbegaran_row AS b
        WHERE b.batch_no = millennium_staging.batch_number(:batch_id)
    ) AS requests,
    (
        SELECT count(*)
        FROM millennium_staging.bokningsbegaran_row AS b
        INNER JOIN millennium_staging.disposition_row AS d ON b.batch_no = d.batch_no AND b.post_id = d.post_id
        WHERE b.batch_no = millennium_staging.batch_number(:batch_id) AND d.disposition = 'migrate'
    ) AS paired,
    (
        SELECT coalesce(sum(u.posts), 0)
        FROM millennium_staging.unit_summary AS u
        WHERE u.batch_id = :batch_id
    ) AS summarised
FROM millennium_staging.batch AS batch
WHERE batch.batch_id = :batch_id;
