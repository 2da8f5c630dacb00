-- Posts of a unit that staff still have to handle: in a batch, in the one before it, and in both.
-- Parameters: batch_id, before, units, with_null, handled
WITH now_left AS (
    SELECT post.post_id
    FROM millennium_staging.disposition AS post
    WHERE
        post.batch_no = millennium_staging.batch_number(:batch_id)
        AND (post.enhet_hsa_id IN :units OR (:with_null = 1 AND post.enhet_hsa_id IS NULL))
        AND post.disposition NOT IN :handled
),

then_left AS (
    SELECT post.post_id
    FROM millennium_staging.disposition AS post
    WHERE
        post.batch_no = millennium_staging.batch_number(:before)
        AND (post.enhet_hsa_id IN :units OR (:with_null = 1 AND post.enhet_hsa_id IS NULL))
        AND post.disposition NOT IN :handled
)

SELECT
    (SELECT count(*) FROM now_left) AS posts_now,
    (SELECT count(*) FROM then_left) AS posts_then,
    (
        SELECT count(*)
        FROM now_left AS a
        INNER JOIN then_left AS b ON a.post_id = b.post_id
    ) AS persisting;
