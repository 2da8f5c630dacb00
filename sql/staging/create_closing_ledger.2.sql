-- The closing ledger: every post of a released batch that must get an outcome, and whether it has one.
-- A unit's posts are those that its latest released batch left behind, and those that the receiver rejected. A batch
-- that was withdrawn has none here. An undone outcome does not count, and "released_later" only while it is true. Of a
-- rejected post, an outcome counts since its release ("since"): an earlier one is about a post that waited in PMO.
-- The units of outcomes and later posts are compared by an expression, so that each is looked up by its post. Rejected
-- posts are few: they are found first, since a database does not move a DISTINCT. Whether a later batch counted a unit
-- is asked batch by batch: a join is made the other way round, over the counts of every night.
-- Created by migration 0022; to change the view, add a file and a migration.
CREATE VIEW millennium_staging.closing_ledger AS
SELECT
    owed.batch_id,
    owed.wave,
    owed.enhet_hsa_id,
    owed.post_id,
    owed.why,
    owed.boka_fore,
    CASE
        WHEN
            EXISTS (
                SELECT 1
                FROM millennium_staging.post_outcome AS told
                WHERE
                    told.post_id = owed.post_id
                    AND coalesce(told.enhet_hsa_id, '') = owed.enhet_hsa_id
                    AND told.outcome NOT IN ('checked', 'undone')
                    AND (owed.since IS NULL OR told.at >= owed.since)
                    AND NOT EXISTS (
                        SELECT 1
                        FROM millennium_staging.post_outcome AS undone
                        WHERE
                            undone.post_id = told.post_id
                            AND undone.enhet_hsa_id = told.enhet_hsa_id
                            AND undone.undoes = told.entry_no
                            AND undone.entry_no > told.entry_no
                    )
                    AND (
                        told.outcome <> 'released_later'
                        OR EXISTS (
                            SELECT 1
                            FROM millennium_staging.released_post AS elsewhere
                            INNER JOIN millennium_staging.batch AS releasing
                                ON elsewhere.batch_id = releasing.batch_id
                            WHERE
                                elsewhere.post_id = owed.post_id
                                AND elsewhere.batch_id <> owed.batch_id
                                AND releasing.state = 'released'
                        )
                    )
            )
            THEN 1
        ELSE 0
    END AS has_outcome,
    owed.since
FROM (
    SELECT
        post.batch_id,
        latest.wave,
        post.enhet_hsa_id,
        post.post_id,
        post.disposition AS why,
        post.boka_fore,
        NULL AS since
    FROM (
        SELECT DISTINCT
            released.batch_id,
            released.wave,
            counted.enhet_hsa_id
        FROM millennium_staging.unit_summary AS counted
        INNER JOIN millennium_staging.batch AS released ON counted.batch_id = released.batch_id
        WHERE
            released.state = 'released'
            AND NOT EXISTS (
                SELECT 1
                FROM millennium_staging.batch AS later
                WHERE
                    later.state = 'released'
                    AND later.released_at > released.released_at
                    AND EXISTS (
                        SELECT 1
                        FROM millennium_staging.unit_summary AS recounted
                        WHERE
                            recounted.batch_id = later.batch_id
                            AND recounted.enhet_hsa_id = counted.enhet_hsa_id
                    )
            )
    ) AS latest
    INNER JOIN millennium_staging.ledger_post AS post
        ON latest.batch_id = post.batch_id AND latest.enhet_hsa_id = post.enhet_hsa_id
    UNION ALL
    SELECT
        turned.batch_id,
        turned.wave,
        turned.enhet_hsa_id,
        turned.post_id,
        'rejected' AS why,
        turned.boka_fore,
        turned.released_at AS since
    FROM (
        SELECT DISTINCT
            followed.batch_id,
            sent.wave,
            sent.released_at,
            followed.post_id,
            followed.boka_fore,
            coalesce(followed.enhet_hsa_id, '') AS enhet_hsa_id
        FROM millennium_staging.followed_post AS followed
        INNER JOIN millennium_staging.batch AS sent ON followed.batch_id = sent.batch_id
        INNER JOIN millennium_staging.post_answer AS answered
            ON followed.batch_id = answered.batch_id AND followed.post_id = answered.post_id
        WHERE answered.answer = 'rejected' AND sent.state = 'released'
    ) AS turned
    WHERE
        NOT EXISTS (
            SELECT 1
            FROM millennium_staging.batch AS later
            INNER JOIN millennium_staging.followed_post AS again ON later.batch_id = again.batch_id
            WHERE
                later.state = 'released'
                AND later.released_at > turned.released_at
                AND again.post_id = turned.post_id
                AND coalesce(again.enhet_hsa_id, '') = turned.enhet_hsa_id
        )
        AND NOT EXISTS (
            SELECT 1
            FROM millennium_staging.batch AS later
            INNER JOIN millennium_staging.ledger_post AS again ON later.batch_id = again.batch_id
            WHERE
                later.state = 'released'
                AND later.released_at > turned.released_at
                AND again.post_id = turned.post_id
                AND coalesce(again.enhet_hsa_id, '') = turned.enhet_hsa_id
        )
) AS owed;
