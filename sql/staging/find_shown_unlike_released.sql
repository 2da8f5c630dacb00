-- Posts of a batch for which the released view and released_post differ, that only one of the two has, or that neither
-- has although they have not been freed.
-- Parameters: batch_id
SELECT shown.post_id
FROM millennium_staging.bokningsbegaran_released AS shown
WHERE
    shown.batch_id = :batch_id
    AND NOT EXISTS (
        SELECT 1
        FROM millennium_staging.released_post AS post
        WHERE post.post_id = shown.post_id AND post.batch_id = shown.batch_id AND post.row_hash = shown.row_hash
    )
UNION
SELECT post.post_id
FROM millennium_staging.released_post AS post
WHERE
    post.batch_id = :batch_id
    AND NOT EXISTS (
        SELECT 1
        FROM millennium_staging.bokningsbegaran_released AS shown
        WHERE shown.batch_id = post.batch_id AND shown.post_id = post.post_id AND shown.row_hash = post.row_hash
    )
UNION
SELECT request.post_id
FROM millennium_staging.bokningsbegaran AS request
WHERE
    request.batch_no = millennium_staging.batch_number(:batch_id)
    AND NOT EXISTS (
        SELECT 1
        FROM millennium_staging.released_post AS post
        WHERE post.post_id = request.post_id AND post.batch_id = request.batch_id
    )
    AND request.post_id NOT IN (
        SELECT entry.post_id
        FROM millennium_staging.freed_post AS entry
        WHERE entry.batch_id = :batch_id
        GROUP BY entry.post_id
        HAVING count(*) % 2 = 1
    )
ORDER BY post_id;
