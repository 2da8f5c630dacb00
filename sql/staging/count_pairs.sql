-- How many posts of a batch migrate and have a booking request.
-- Parameters: batch_id
SELECT count(*) AS pairs
FROM millennium_staging.bokningsbegaran_row AS b
INNER JOIN millennium_staging.disposition_row AS d ON b.batch_no = d.batch_no AND b.post_id = d.post_id
WHERE b.batch_no = millennium_staging.batch_number(:batch_id) AND d.disposition = 'migrate';
