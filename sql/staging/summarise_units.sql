-- Posts per unit and disposition; a post without a unit counts under the empty name.
-- Parameters: batch_id
INSERT INTO millennium_staging.unit_summary (batch_id, enhet_hsa_id, disposition, posts)
SELECT
    :batch_id AS batch_id,
    coalesce(enhet_hsa_id, '') AS unit,
    disposition,
    count(*) AS posts
FROM millennium_staging.disposition_row
WHERE batch_no = millennium_staging.batch_number(:batch_id)
GROUP BY coalesce(enhet_hsa_id, ''), disposition;
