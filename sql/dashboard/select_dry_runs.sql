-- The dry runs of PMO that count for readers, with the units that they were asked to read, the earliest first.
SELECT
    run.batch_id,
    run.run_id,
    run.as_of,
    run.started_at,
    run.finished_at,
    run.posts_extracted AS posts,
    opened.units
FROM millennium_staging.readable_batch AS run
INNER JOIN millennium_staging.batch AS opened ON run.batch_id = opened.batch_id
WHERE run.kind = 'dry_run' AND opened.reuse_snapshot IS NULL
ORDER BY run.as_of, run.started_at, run.batch_id;
