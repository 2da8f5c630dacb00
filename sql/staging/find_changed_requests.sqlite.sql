-- Booking requests whose stored columns no longer give their row_hash (SHA-256 of the columns, joined by U+001F).
-- The connection brings sha256_hex, since SQLite has no hash function.
-- Parameters: batch_id
SELECT post_id
FROM millennium_staging.bokningsbegaran
WHERE
    batch_id = :batch_id
    AND row_hash <> sha256_hex(
        CAST(post_id AS text) || char(31)
        || coalesce(person_id, '') || char(31)
        || coalesce(begard_plats, '') || char(31)
        || coalesce(patientnamn, '') || char(31)
        || coalesce(begart_startdatum, '') || char(31)
        || coalesce(begart_slutdatum, '') || char(31)
        || coalesce(besokstyp, '') || char(31)
        || coalesce(vardinrattning, '') || char(31)
        || coalesce(beskrivning, '') || char(31)
        || CASE WHEN sekretess THEN '1' ELSE '0' END
    )
ORDER BY post_id;
