-- Posts of a batch that the released view also shows in another batch.
-- Parameters: batch_id
SELECT shown.post_id
FROM millennium_staging.bokningsbegaran_released AS shown
WHERE
    shown.batch_id = :batch_id
    AND EXISTS (
        SELECT 1
        FROM millennium_staging.bokningsbegaran_released AS other
        WHERE other.post_id = shown.post_id AND other.batch_id <> shown.batch_id
    )
ORDER BY shown.post_id;
