-- As count_pairs.sql. PostgreSQL has no statistics on all partitions together, guesses a thousand times the rows, and
-- would look up each request in the key of the dispositions, in three processes. A full join is answered by a merge.
-- Parameters: batch_id
WITH request AS (
    SELECT b.post_id
    FROM millennium_staging.bokningsbegaran_row AS b
    WHERE b.batch_no = millennium_staging.batch_number(:batch_id)
),

migrating AS (
    SELECT d.post_id
    FROM millennium_staging.disposition_row AS d
    WHERE d.batch_no = millennium_staging.batch_number(:batch_id) AND d.disposition = 'migrate'
)

SELECT count(CASE WHEN request.post_id = migrating.post_id THEN 1 END) AS pairs
FROM request
FULL JOIN migrating ON request.post_id = migrating.post_id;
