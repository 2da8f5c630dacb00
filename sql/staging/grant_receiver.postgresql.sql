-- The rights of a receiver's account that inserts its words into the inbox, and may do nothing else here: it cannot
-- even read what it has inserted. The owner of the tables runs this with the name of that account.
GRANT USAGE ON SCHEMA millennium_staging TO waitlist_receiver;
GRANT INSERT (batch_id, post_id, outcome, at, millennium_id, reason, booked_for)
ON millennium_staging.receipt_inbox TO waitlist_receiver;
GRANT USAGE ON SEQUENCE millennium_staging.receipt_inbox_row_no_seq TO waitlist_receiver;
