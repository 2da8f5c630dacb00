-- Booking requests whose stored columns no longer give their row_hash (SHA-256 of the columns, joined by U+001F).
-- Parameters: batch_id
SELECT post_id
FROM millennium_staging.bokningsbegaran
WHERE
    batch_id = :batch_id
    AND row_hash <> encode(
        sha256(
            convert_to(
                concat_ws(
                    chr(31),
                    CAST(post_id AS text),
                    coalesce(person_id, ''),
                    coalesce(begard_plats, ''),
                    coalesce(patientnamn, ''),
                    coalesce(to_char(begart_startdatum, 'YYYY-MM-DD'), ''),
                    coalesce(to_char(begart_slutdatum, 'YYYY-MM-DD'), ''),
                    coalesce(besokstyp, ''),
                    coalesce(vardinrattning, ''),
                    coalesce(beskrivning, ''),
                    CASE WHEN sekretess THEN '1' ELSE '0' END
                ),
                'UTF8'
            )
        ),
        'hex'
    )
ORDER BY post_id;
