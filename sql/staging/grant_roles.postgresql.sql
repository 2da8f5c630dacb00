-- The rights of the accounts of roles.sql: each can do its work and nothing more. `make migrate` runs this as the owner
-- of the tables after each migration; what an account may no longer do is taken away. An account of your own that does
-- everything but migrations gets grant_loader.postgresql.sql in its place: it has the rights of all of them.
-- The right to change finished_at is there for the lock on a batch alone: a guard refuses the change.
REVOKE ALL ON ALL TABLES IN SCHEMA millennium_staging
FROM waitlist_loader, waitlist_releaser, waitlist_receipts, waitlist_dashboard;
REVOKE ALL (finished_at, state, approved_by, approved_at, released_at) ON millennium_staging.batch
FROM waitlist_releaser, waitlist_receipts, waitlist_dashboard;
REVOKE ALL (row_no) ON millennium_staging.receipt_inbox, millennium_staging.receipt_fault
FROM waitlist_loader, waitlist_dashboard;
GRANT USAGE ON SCHEMA millennium_staging
TO waitlist_loader, waitlist_releaser, waitlist_receipts, waitlist_dashboard;

-- The loader: a night, and a wave up to its question to the approver.
GRANT SELECT ON ALL TABLES IN SCHEMA millennium_staging TO waitlist_loader;
REVOKE SELECT ON
millennium_staging.access_log,
millennium_staging.log_verdict,
millennium_staging.receipt_fault,
millennium_staging.receipt_inbox,
millennium_staging.receipt_reason
FROM waitlist_loader;
-- It has to know whether a receiver has ever said anything, and not what.
GRANT SELECT (row_no) ON millennium_staging.receipt_inbox, millennium_staging.receipt_fault TO waitlist_loader;
GRANT INSERT, UPDATE ON millennium_staging.batch, millennium_staging.service_rest TO waitlist_loader;
GRANT INSERT, DELETE ON
millennium_staging.batch_file,
millennium_staging.batch_partition,
millennium_staging.gate_result,
millennium_staging.person_name,
millennium_staging.person_status,
millennium_staging.quality_result,
millennium_staging.released_change,
millennium_staging.service_check,
millennium_staging.unit_summary
TO waitlist_loader;
GRANT INSERT ON
millennium_staging.audit_link,
millennium_staging.batch_event,
millennium_staging.post_outcome
TO waitlist_loader;
GRANT EXECUTE ON FUNCTION
millennium_staging.analyze_rows,
millennium_staging.attach_part,
millennium_staging.create_part,
millennium_staging.key_part
TO waitlist_loader;

-- The releaser: what an approver decides, the hand-off, signatures, and retention.
GRANT SELECT ON ALL TABLES IN SCHEMA millennium_staging TO waitlist_releaser;
REVOKE SELECT ON millennium_staging.receipt_inbox FROM waitlist_releaser;
GRANT UPDATE (state, approved_by, approved_at, released_at) ON millennium_staging.batch TO waitlist_releaser;
GRANT INSERT, UPDATE ON millennium_staging.service_rest TO waitlist_releaser;
GRANT INSERT, DELETE ON
millennium_staging.access_log,
millennium_staging.gate_result,
millennium_staging.person_name,
millennium_staging.person_status,
millennium_staging.released_post
TO waitlist_releaser;
GRANT INSERT ON
millennium_staging.audit_checkpoint,
millennium_staging.audit_link,
millennium_staging.batch_event,
millennium_staging.followed_post,
millennium_staging.freed_post,
millennium_staging.hand_off,
millennium_staging.ledger_post
TO waitlist_releaser;
GRANT DELETE ON
millennium_staging.batch_file,
millennium_staging.batch_partition,
millennium_staging.log_verdict,
millennium_staging.receipt_fault,
millennium_staging.receipt_reason,
millennium_staging.released_change
TO waitlist_releaser;
GRANT EXECUTE ON FUNCTION millennium_staging.drop_parts TO waitlist_releaser;

-- The writer of receipts: what receivers say, and what is free by it. It sees no booking request and no patient.
GRANT SELECT ON
millennium_staging.audit_link,
millennium_staging.batch,
millennium_staging.batch_event,
millennium_staging.closing_ledger,
millennium_staging.followed_day,
millennium_staging.followed_post,
millennium_staging.freed_post,
millennium_staging.post_answer,
millennium_staging.receipt,
millennium_staging.receipt_fault,
millennium_staging.receipt_inbox,
millennium_staging.receipt_reason,
millennium_staging.released_post,
millennium_staging.settlement,
millennium_staging.staging_version,
millennium_staging.wave_closing
TO waitlist_receipts;
GRANT UPDATE (finished_at) ON millennium_staging.batch TO waitlist_receipts;
GRANT INSERT, DELETE ON
millennium_staging.followed_day,
millennium_staging.post_answer,
millennium_staging.released_post
TO waitlist_receipts;
GRANT INSERT ON
millennium_staging.audit_link,
millennium_staging.batch_event,
millennium_staging.freed_post,
millennium_staging.receipt,
millennium_staging.receipt_fault,
millennium_staging.receipt_reason
TO waitlist_receipts;
GRANT DELETE ON millennium_staging.receipt_inbox TO waitlist_receipts;

-- The dashboard: it reads what pages show, and writes what people say on them: looks, verdicts, outcomes, closings, and
-- what a lead settles and frees. The guards let a post be free only where the receiver says that it does not have it.
GRANT SELECT ON ALL TABLES IN SCHEMA millennium_staging TO waitlist_dashboard;
REVOKE SELECT ON
millennium_staging.person_name,
millennium_staging.receipt_fault,
millennium_staging.receipt_inbox,
millennium_staging.service_check,
millennium_staging.service_rest
FROM waitlist_dashboard;
GRANT SELECT (row_no) ON millennium_staging.receipt_inbox, millennium_staging.receipt_fault TO waitlist_dashboard;
GRANT UPDATE (finished_at) ON millennium_staging.batch TO waitlist_dashboard;
GRANT INSERT, DELETE ON millennium_staging.post_answer, millennium_staging.released_post TO waitlist_dashboard;
GRANT INSERT ON
millennium_staging.access_log,
millennium_staging.audit_link,
millennium_staging.batch_event,
millennium_staging.freed_post,
millennium_staging.log_verdict,
millennium_staging.post_outcome,
millennium_staging.sample_size,
millennium_staging.sample_verdict,
millennium_staging.settlement,
millennium_staging.wave_closing
TO waitlist_dashboard;
