-- The five accounts of the staging database. An administrator runs this once in that database, before the first
-- `make migrate`; what exists stays as it is. None of them can log in yet: give each a password (ALTER ROLE ... LOGIN
-- PASSWORD ...), or make it the role of an account of yours (GRANT waitlist_loader TO ...).
-- waitlist_owner: migrations, backup and restore. It owns the tables, so it may switch the guards off.
-- waitlist_loader: the nights. waitlist_releaser: decisions, hand-offs and retention.
-- waitlist_receipts: what receivers say. waitlist_dashboard: the pages.
-- Their rights are in grant_roles.postgresql.sql, which `make migrate` runs.
DO $$
DECLARE
    account text;
BEGIN
    FOREACH account IN ARRAY ARRAY[
        'waitlist_owner', 'waitlist_loader', 'waitlist_releaser', 'waitlist_receipts', 'waitlist_dashboard'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = account) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', account);
        END IF;
    END LOOP;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO waitlist_owner', current_database());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
