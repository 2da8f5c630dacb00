-- The view that RevenueCycle's load reads: the booking requests of released batches, nothing else.
-- Created by migration 0001; migration 0017 replaced it.
CREATE VIEW millennium_staging.bokningsbegaran_released AS
SELECT
    request.batch_id,
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
    request.row_hash
FROM millennium_staging.bokningsbegaran AS request
INNER JOIN millennium_staging.batch AS released ON request.batch_id = released.batch_id
WHERE released.state = 'released';
