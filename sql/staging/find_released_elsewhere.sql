-- Posts of a batch that another batch has released.
-- Parameters: batch_id
SELECT request.post_id
FROM millennium_staging.bokningsbegaran AS request
WHERE
    request.batch_no = millennium_staging.batch_number(:batch_id)
    AND EXISTS (
        SELECT 1
        FROM millennium_staging.released_post AS taken
        WHERE taken.post_id = request.post_id AND taken.batch_id <> request.batch_id
    )
ORDER BY request.post_id;
