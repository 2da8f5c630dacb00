-- Tables with rows that the planner's statistics do not include yet.
SELECT relname
FROM pg_stat_user_tables
WHERE
    schemaname = 'millennium_staging'
    AND relname IN ('batch_partition', 'disposition', 'finding', 'bokningsbegaran')
    AND n_mod_since_analyze > 0
ORDER BY relname;
