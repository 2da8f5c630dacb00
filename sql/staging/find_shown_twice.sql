-- Posts of a batch that another released batch has a booking request for too, and that are not free there. Each post is
-- looked up by its full key in every other released batch: with a lookup in a view, SQLite reads all requests again for
-- each post.
-- Parameters: batch_id
SELECT shown.post_id
FROM millennium_staging.bokningsbegaran_released AS shown
WHERE
    shown.batch_id = :batch_id
    AND EXISTS (
        SELECT 1
        FROM millennium_staging.batch AS other
        CROSS JOIN millennium_staging.bokningsbegaran_row AS twin
        WHERE
            other.state = 'released'
            AND other.batch_id <> shown.batch_id
            AND twin.batch_no = other.batch_no
            AND twin.post_id = shown.post_id
            AND (
                SELECT count(*)
                FROM millennium_staging.freed_post AS entry
                WHERE entry.batch_id = other.batch_id AND entry.post_id = twin.post_id
            ) % 2 = 0
    )
ORDER BY shown.post_id;
