-- The units that have posts of some categories of PMO, in a batch.
-- Parameters: batch_id, categories
SELECT DISTINCT
    kategori,
    enhet_hsa_id
FROM millennium_staging.disposition
WHERE
    batch_id = :batch_id
    AND kategori IN :categories;
