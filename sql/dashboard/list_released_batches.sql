-- All batches that were released, the latest first, and the number of their posts that Millennium reads now.
-- Parameters: none
SELECT
    batch.batch_id,
    batch.dag_id,
    batch.run_id,
    batch.wave,
    batch.as_of,
    batch.state,
    batch.posts_staged,
    batch.approved_by,
    batch.approved_at,
    batch.released_at,
    (
        SELECT count(*)
        FROM millennium_staging.released_post AS r
        WHERE r.batch_id = batch.batch_id
    ) AS shown
FROM millennium_staging.batch AS batch
WHERE batch.state IN ('released', 'withdrawn', 'withdrawn_after_load', 'awaiting_approval', 'rejected')
ORDER BY coalesce(batch.released_at, batch.started_at) DESC, batch.batch_id ASC;
