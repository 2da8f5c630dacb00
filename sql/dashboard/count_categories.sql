-- The categories of a batch's posts in PMO, with the list recommended for each and the number of units that use it.
-- Parameters: batch_id
SELECT
    kategori,
    recommended_list,
    count(*) AS posts,
    count(DISTINCT enhet_hsa_id) AS units
FROM millennium_staging.disposition
WHERE batch_no = millennium_staging.batch_number(:batch_id)
GROUP BY kategori, recommended_list
ORDER BY count(*) DESC, kategori ASC, recommended_list ASC;
