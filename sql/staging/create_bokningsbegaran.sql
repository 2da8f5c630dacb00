-- Rows of posts as contract 2 names them: the batch by its id. Created by migration 0023; to change the view, add a
-- file and a migration. On PostgreSQL a query of a batch that adds batch_no = millennium_staging.batch_number('...')
-- is planned for the partitions of that batch alone.
-- The migration replaces hex_digits by what the database has for it.
CREATE VIEW millennium_staging.bokningsbegaran AS
SELECT
    numbered.batch_id,
    post.post_id,
    post.person_id,
    post.begard_plats,
    post.patientnamn,
    post.begart_startdatum,
    post.begart_slutdatum,
    post.besokstyp,
    post.vardinrattning,
    post.beskrivning,
    post.sekretess,
    hex_digits(post.row_hash) AS row_hash,
    post.batch_no
FROM millennium_staging.batch AS numbered
INNER JOIN millennium_staging.bokningsbegaran_row AS post ON numbered.batch_no = post.batch_no;
