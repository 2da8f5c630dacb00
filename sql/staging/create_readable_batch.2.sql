-- The batches that readers see (dashboard, work lists, trend): verified, or in a later state.
-- Created by migration 0017; to change the view, add a file and a migration.
CREATE VIEW millennium_staging.readable_batch AS
SELECT
    batch_id,
    dag_id,
    run_id,
    kind,
    wave,
    as_of,
    state,
    posts_extracted,
    posts_staged,
    rules_version,
    started_at,
    finished_at,
    approved_by,
    approved_at,
    released_at
FROM millennium_staging.batch
WHERE state IN ('verified', 'awaiting_approval', 'released', 'withdrawn', 'withdrawn_after_load', 'rejected');
