-- Tables with rows that the planner's statistics do not include yet: a partition is its own table.
SELECT staged.relname
FROM pg_stat_user_tables AS staged
WHERE
    staged.schemaname = 'millennium_staging'
    AND (
        staged.relname = 'batch_partition'
        OR staged.relid IN (
            SELECT part.inhrelid
            FROM pg_inherits AS part
            INNER JOIN pg_class AS whole ON part.inhparent = whole.oid
            WHERE
                whole.relnamespace = 'millennium_staging'::regnamespace
                AND whole.relname IN ('disposition_row', 'finding_row', 'bokningsbegaran_row')
        )
    )
    AND staged.n_mod_since_analyze > 0
ORDER BY staged.relname;
