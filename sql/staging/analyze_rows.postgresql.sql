-- Fresh statistics after a load: without them the planner takes a new batch for a handful of rows.
ANALYZE millennium_staging.batch_partition,
millennium_staging.disposition,
millennium_staging.finding,
millennium_staging.bokningsbegaran;
