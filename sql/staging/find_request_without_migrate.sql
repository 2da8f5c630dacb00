-- Booking requests whose post does not migrate, or is unknown: patients who would be booked twice or wrongly.
-- Parameters: batch_id
SELECT b.post_id
FROM millennium_staging.bokningsbegaran AS b
WHERE
    b.batch_no = millennium_staging.batch_number(:batch_id)
    AND NOT EXISTS (
        SELECT 1
        FROM millennium_staging.disposition AS d
        WHERE d.batch_no = b.batch_no AND d.post_id = b.post_id AND d.disposition = 'migrate'
    )
ORDER BY b.post_id;
