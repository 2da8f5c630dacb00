-- The waiting list of PMO as it stood at the end of a day, one row a post.
--
-- This file alone knows PMO's tables: to read another PMO, change it and nothing else. The columns that it
-- must return, their types and what they mean: docs/data-contract.md. It reads the synthetic PMO's tables.
--
-- Parameters, each bound, never pasted in; a parameter may be used more than once:
--   :as_of         text, required: the day after the as-of date, as YYYY-MM-DD. Its 00:00 is the moment that
--                  the list is asked for, in PMO's local time. Compare timestamps with it as it is; where it
--                  needs a type (SQL Server's old datetime), CAST(:as_of AS date) is safe there; cast such a column
--                  to datetime2 below as well, since the tests of form read it as text. Do not cast
--                  it in SQLite, which would make the number 2024 of it.
--   :from_post_id  text, optional: the first post_id wanted.
--   :to_post_id    text, optional: the last post_id wanted, itself included.
--                  The code asks for key ranges, units and counts from outside, as
--                  SELECT ... FROM (<this query>) AS q WHERE q.post_id >= ...; every database tried here finds
--                  its way to the index on post_id through that. Only a query in which it does not (a
--                  DISTINCT, a window) should name the range itself:
--                  post_id BETWEEN CAST(:from_post_id AS BIGINT) AND CAST(:to_post_id AS BIGINT).
--
-- Being a subquery, it has no ORDER BY, no WITH and no semicolon. Comments are taken out before it is sent.
-- Nothing drops out of sight: patient and unit are joined from the left, and only a moment that is written
-- YYYY-MM-DD... keeps a post out, as registered later or closed before. Whatever else stands in registrerad or
-- avslutad is returned: an empty avslutad is an open post, and what is no moment stops the extract, which names the
-- post. Where PMO's columns are timestamps, only infinity is no moment.
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
