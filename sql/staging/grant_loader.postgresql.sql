-- The rights of the account of the pipeline and the dashboard, if another account owns the tables. The owner runs this
-- with the name of your account, and again after each migration. The account may neither change nor remove entries of
-- the audit trails, and remove only those of the access log that are old enough; the guards restrict its rights.
GRANT USAGE ON SCHEMA millennium_staging TO waitlist_loader;
GRANT SELECT ON ALL TABLES IN SCHEMA millennium_staging TO waitlist_loader;
GRANT INSERT, UPDATE ON millennium_staging.batch, millennium_staging.service_rest TO waitlist_loader;
GRANT INSERT, DELETE ON
millennium_staging.access_log,
millennium_staging.batch_file,
millennium_staging.batch_partition,
millennium_staging.followed_day,
millennium_staging.gate_result,
millennium_staging.log_verdict,
millennium_staging.person_name,
millennium_staging.person_status,
millennium_staging.post_answer,
millennium_staging.quality_result,
millennium_staging.receipt_fault,
millennium_staging.receipt_reason,
millennium_staging.released_change,
millennium_staging.released_post,
millennium_staging.service_check,
millennium_staging.unit_summary
TO waitlist_loader;
GRANT INSERT ON
millennium_staging.audit_checkpoint,
millennium_staging.audit_link,
millennium_staging.batch_event,
millennium_staging.followed_post,
millennium_staging.freed_post,
millennium_staging.hand_off,
millennium_staging.ledger_post,
millennium_staging.post_outcome,
millennium_staging.receipt,
millennium_staging.sample_size,
millennium_staging.sample_verdict,
millennium_staging.settlement,
millennium_staging.wave_closing
TO waitlist_loader;
GRANT DELETE ON millennium_staging.receipt_inbox TO waitlist_loader;
GRANT EXECUTE ON FUNCTION
millennium_staging.analyze_rows,
millennium_staging.attach_part,
millennium_staging.create_part,
millennium_staging.drop_parts,
millennium_staging.key_part
TO waitlist_loader;
