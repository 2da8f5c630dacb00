-- The units that have posts of some categories of PMO, in a batch.
-- Parameters: batch_id, categories
SELECT DISTINCT
    kategori,
    enhet_hsa_id
FROM millennium_staging.disposition
WHERE
    batch_no = millennium_staging.batch_number(:batch_id)
    AND kategori IN :categories;
