-- The waiting list of PMO as it was at the end of a day, one row per post.
--
-- Only this file names PMO's tables: to read another PMO, change this file and nothing else. The columns that it
-- must return, their types and what they mean: docs/data-contract.md. It reads the synthetic PMO's tables.
--
-- Parameters, always bound, never inserted as text; a parameter may be used more than once:
--   :as_of         text, required: the day after the as-of date, as YYYY-MM-DD. The query returns the list as it
--                  was at 00:00 of that day, in PMO's local time. Compare timestamps with the parameter as it is. If
--                  it needs a type (SQL Server's old datetime), CAST(:as_of AS date) is safe there; then also cast
--                  such a column to datetime2 below, since the tests of its form read it as text. Do not cast the
--                  parameter in SQLite, which would convert it to the number 2024.
--   :from_post_id  text, optional: the first post_id to return.
--   :to_post_id    text, optional: the last post_id to return, itself included.
--                  The code adds key ranges, units and counts around this query, as
--                  SELECT ... FROM (<this query>) AS q WHERE q.post_id >= ...; every database tested uses the
--                  index on post_id for that. Only a query in which a database cannot do so (with a
--                  DISTINCT or a window function) should use the range itself:
--                  post_id BETWEEN CAST(:from_post_id AS BIGINT) AND CAST(:to_post_id AS BIGINT).
--
-- The query is used as a subquery, so it has no ORDER BY, no WITH and no semicolon. Comments are removed before it is
-- sent. No post is lost unnoticed: patient and unit are joined with LEFT JOIN, and a post is left out only if
-- registrerad or avslutad is a timestamp, written YYYY-MM-DD..., that shows it as registered later or closed before.
-- Any other value of these columns is returned: an empty avslutad means an open post, and a value that is not a
-- timestamp stops the extract with an error that names the post. If PMO's columns have the type timestamp, only
-- infinity is such a value.
SELECT
    v.post_id,
    p.personnummer,
    p.namn AS patient,
    p.sekretess,
    e.hsa_id AS enhet_hsa_id,
    e.namn AS enhet,
    v.kategori,
    v.kontaktform,
    v.vantar_pa_besok,
    v.nybesok,
    CASE WHEN EXISTS (SELECT 1 FROM bilaga AS b WHERE b.post_id = v.post_id) THEN 1 ELSE 0 END AS har_bilaga,
    v.boka_from,
    v.boka_fore,
    v.orsak,
    v.planerade_atgarder,
    v.anvandare,
    v.tidsatgang_min,
    v.filial,
    v.registrerad,
    v.andrad,
    v.avslutad
FROM vantelistepost AS v
LEFT JOIN patient AS p ON v.patient_id = p.patient_id
LEFT JOIN enhet AS e ON v.enhet_id = e.enhet_id
-- noqa: disable=LT02
WHERE
    (
        v.registrerad IS NULL
        OR v.registrerad < :as_of
        -- With 0 for every digit: the one test of a text's form that all databases share.
        OR replace(replace(replace(replace(replace(replace(replace(replace(replace(
            cast(v.registrerad AS varchar(40)),
            '1', '0'), '2', '0'), '3', '0'), '4', '0'), '5', '0'), '6', '0'), '7', '0'), '8', '0'), '9', '0'
        ) NOT LIKE '0000-00-00%'
        OR substring(cast(v.registrerad AS varchar(40)), 6, 2) NOT BETWEEN '01' AND '12'
        OR substring(cast(v.registrerad AS varchar(40)), 9, 2) NOT BETWEEN '01' AND '31'
    )
    AND (
        v.avslutad IS NULL
        OR v.avslutad >= :as_of
        -- With 0 for every digit: the one test of a text's form that all databases share.
        OR replace(replace(replace(replace(replace(replace(replace(replace(replace(
            cast(v.avslutad AS varchar(40)),
            '1', '0'), '2', '0'), '3', '0'), '4', '0'), '5', '0'), '6', '0'), '7', '0'), '8', '0'), '9', '0'
        ) NOT LIKE '0000-00-00%'
        OR substring(cast(v.avslutad AS varchar(40)), 6, 2) NOT BETWEEN '01' AND '12'
        OR substring(cast(v.avslutad AS varchar(40)), 9, 2) NOT BETWEEN '01' AND '31'
    )
