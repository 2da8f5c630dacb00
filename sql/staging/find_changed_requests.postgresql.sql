-- Booking requests whose stored columns no longer match their row_hash (SHA-256 of the columns, joined by U+001F).
-- canonical_columns is replaced by SQL of the columns' texts, which waitlist.staging.row_hash writes.
-- Parameters: batch_id
SELECT post_id
FROM millennium_staging.bokningsbegaran_row
WHERE
    batch_no = millennium_staging.batch_number(:batch_id)
    AND row_hash <> sha256(convert_to(CAST(post_id AS text) || chr(31) || canonical_columns, 'UTF8'))
ORDER BY post_id;
