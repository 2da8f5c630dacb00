-- The dry runs that count for readers, with what their audit trail says they were asked to read, the earliest first.
SELECT
    run.batch_id,
    run.run_id,
    run.as_of,
    run.started_at,
    run.finished_at,
    run.posts_extracted,
    begun.details
FROM millennium_staging.readable_batch AS run
LEFT JOIN millennium_staging.batch_event AS begun
    ON run.batch_id = begun.batch_id AND begun.event = 'open'
WHERE run.kind = 'dry_run'
ORDER BY run.as_of, run.started_at, run.batch_id, begun.event_no;
