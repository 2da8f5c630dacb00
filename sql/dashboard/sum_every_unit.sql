-- Posts of every unit in some batches: all, those that migrate, and those that staff still have to handle.
-- Parameters: batch_ids, handled
SELECT
    batch_id,
    enhet_hsa_id,
    sum(posts) AS posts,
    sum(CASE WHEN disposition = 'migrate' THEN posts ELSE 0 END) AS ready,
    sum(CASE WHEN disposition IN :handled THEN 0 ELSE posts END) AS posts_left
FROM millennium_staging.unit_summary
WHERE batch_id IN :batch_ids
GROUP BY batch_id, enhet_hsa_id;
