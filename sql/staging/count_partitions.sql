-- The counts of each partition when it was loaded, and the counts of its key range now.
-- Parameters: batch_id
SELECT
    part.lower_key,
    part.upper_key,
    part.posts,
    part.staged,
    part.findings,
    (
        SELECT count(*)
        FROM millennium_staging.disposition_row AS d
        WHERE
            d.batch_no = millennium_staging.batch_number(:batch_id)
            AND d.post_id >= part.lower_key
            AND d.post_id <= coalesce(part.upper_key - 1, 9223372036854775807)
    ) AS posts_found,
    (
        SELECT count(*)
        FROM millennium_staging.bokningsbegaran_row AS b
        WHERE
            b.batch_no = millennium_staging.batch_number(:batch_id)
            AND b.post_id >= part.lower_key
            AND b.post_id <= coalesce(part.upper_key - 1, 9223372036854775807)
    ) AS staged_found,
    (
        SELECT count(*)
        FROM millennium_staging.finding_row AS f
        WHERE
            f.batch_no = millennium_staging.batch_number(:batch_id)
            AND f.post_id >= part.lower_key
            AND f.post_id <= coalesce(part.upper_key - 1, 9223372036854775807)
    ) AS findings_found
FROM millennium_staging.batch_partition AS part
WHERE part.batch_id = :batch_id
ORDER BY part.lower_key;
