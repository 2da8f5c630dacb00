-- The view that RevenueCycle's load reads: the booking requests of released batches that are in released_post, nothing
-- else. A post that a lead has freed is not shown.
-- Created by migration 0023, which replaces hex_digits by what the database has for it; to change the view, add a file
-- and a migration.
CREATE VIEW millennium_staging.bokningsbegaran_released AS
SELECT
    released.batch_id,
    request.post_id,
    request.person_id,
    request.begard_plats,
    request.patientnamn,
    request.begart_startdatum,
    request.begart_slutdatum,
    request.besokstyp,
    request.vardinrattning,
    request.beskrivning,
    request.sekretess,
    hex_digits(request.row_hash) AS row_hash
FROM millennium_staging.batch AS released
INNER JOIN millennium_staging.bokningsbegaran_row AS request ON released.batch_no = request.batch_no
INNER JOIN millennium_staging.released_post AS held
    ON released.batch_id = held.batch_id AND request.post_id = held.post_id
WHERE released.state = 'released';
