-- Posts of a unit on each list of PMO.
-- Parameters: batch_id, units, with_null
SELECT
    kategori,
    count(*) AS posts
FROM millennium_staging.disposition
WHERE
    batch_no = millennium_staging.batch_number(:batch_id)
    AND (enhet_hsa_id IN :units OR (:with_null = 1 AND enhet_hsa_id IS NULL))
    AND kategori IS NOT NULL
GROUP BY kategori
ORDER BY kategori;
