"""The rows of posts get the batch's number in place of its id, and on PostgreSQL they are partitions.

The tables ``disposition``, ``finding`` and ``bokningsbegaran`` become ``disposition_row``, ``finding_row`` and
``bokningsbegaran_row``; their names are views now, with the columns that they had. On PostgreSQL a partition has the
rows of one batch in one range of keys. The rows that are there become one partition for each batch. Every partition is
made, attached and dropped by functions of the owner, which refuse what the guards refuse. So that rows
are short, ``row_hash`` is 32 bytes, which the views show as the 64 hex digits that it was, and columns of a fixed width
are first.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import BINARY, NVARCHAR

from waitlist.staging.queries import read_sql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_FROZEN = "state IN ('awaiting_approval', 'released', 'withdrawn', 'withdrawn_after_load', 'rejected')"
_DECIDED = "state IN ('released', 'withdrawn', 'withdrawn_after_load', 'rejected')"
_KEYS: Mapping[str, tuple[str, ...]] = {
    "disposition": ("batch_no", "post_id"),
    "finding": ("batch_no", "post_id", "rule"),
    "bokningsbegaran": ("batch_no", "post_id"),
}
_UNSOUGHT: Mapping[str, tuple[str, ...]] = {
    "disposition": ("driftstart", "boka_from", "recommended_list"),
    "finding": ("severity", "detail"),
    "bokningsbegaran": (
        "begart_startdatum", "begart_slutdatum", "sekretess", "person_id", "begard_plats", "patientnamn", "besokstyp",
        "vardinrattning", "beskrivning", "row_hash",
    ),
}  # fmt: skip
"""The columns by which no query selects, groups or orders rows: how often each value occurs changes no plan."""
_HEX_OF: Mapping[str, str] = {
    # Of the type that it had: a view keeps the types of its columns when it is replaced.
    "postgresql": "CAST(encode({}, 'hex') AS varchar(64))",
    "sqlite": "lower(hex({}))",
    "mssql": "lower(convert(varchar(64), {}, 2))",
}
_BYTES_OF: Mapping[str, str] = {
    "postgresql": "decode({}, 'hex')",
    "sqlite": "bytes_of_hex({})",
    "mssql": "convert(binary(32), {}, 2)",
}

_NUMBER_OF_SQL_SERVER = """
    CREATE FUNCTION millennium_staging.batch_number(@batch nvarchar(200)) RETURNS int AS
    BEGIN
        RETURN (SELECT batch_no FROM millennium_staging.batch WHERE batch_id = @batch)
    END
    """


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def _columns(table: str) -> list[sa.Column[Any]]:
    columns: dict[str, list[sa.Column[Any]]] = {
        "disposition": [
            sa.Column("driftstart", sa.Date()),
            sa.Column("boka_from", sa.Date()),
            sa.Column("boka_fore", sa.Date()),
            sa.Column("enhet_hsa_id", sa.Unicode()),
            sa.Column("kategori", sa.Unicode()),
            sa.Column("disposition", sa.Unicode(32), nullable=False),
            sa.Column("recommended_list", sa.Unicode()),
        ],
        "finding": [
            sa.Column("rule", _key(64), nullable=False),
            sa.Column("severity", sa.Unicode(16), nullable=False),
            sa.Column("detail", sa.Unicode()),
        ],
        "bokningsbegaran": [
            sa.Column("begart_startdatum", sa.Date(), nullable=False),
            sa.Column("begart_slutdatum", sa.Date(), nullable=False),
            sa.Column("sekretess", sa.Boolean(), nullable=False),
            sa.Column("person_id", sa.Unicode(12), nullable=False),
            sa.Column("begard_plats", sa.Unicode()),
            sa.Column("patientnamn", sa.Unicode(), nullable=False),
            sa.Column("besokstyp", sa.Unicode(), nullable=False),
            sa.Column("vardinrattning", sa.Unicode()),
            sa.Column("beskrivning", sa.Unicode()),
            sa.Column("row_hash", sa.LargeBinary().with_variant(BINARY(32), "mssql"), nullable=False),
        ],
    }
    return [
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("batch_no", sa.Integer(), autoincrement=False, nullable=False),
        *columns[table],
    ]


def upgrade() -> None:
    """Number the batches, move the rows, and make views, functions and guards."""
    schema = op.get_context().version_table_schema
    dialect = op.get_context().dialect.name
    prefix = f"{schema}." if schema else ""
    _number_batches(schema, prefix, dialect)
    for table, key in _KEYS.items():
        op.create_table(
            f"{table}_row",
            *_columns(table),
            sa.PrimaryKeyConstraint(*key, name=op.f(f"{table}_row_pkey")),
            schema=schema,
            sqlite_with_rowid=False,
            postgresql_partition_by="RANGE (batch_no, post_id)",
        )
    if dialect == "postgresql":
        _run(_functions(str(schema)))
        op.get_bind().exec_driver_sql(f"SELECT {prefix}new_part(batch_no, NULL, NULL) FROM {prefix}batch")
    elif dialect == "sqlite":
        # Earlier versions of SQLite have no function for it.
        driver: Any = op.get_bind().connection.driver_connection
        driver.create_function("bytes_of_hex", 1, bytes.fromhex, deterministic=True)
    for table in _KEYS:
        names = [column.name for column in _columns(table)]
        told = {"batch_no": "numbered.batch_no", "row_hash": _BYTES_OF[dialect].format("post.row_hash")}
        op.get_bind().exec_driver_sql(
            f"INSERT INTO {prefix}{table}_row ({', '.join(names)}) "
            f"SELECT {', '.join(told.get(name, f'post.{name}') for name in names)} "
            f"FROM {prefix}{table} AS post INNER JOIN {prefix}batch AS numbered ON post.batch_id = numbered.batch_id "
            f"ORDER BY numbered.batch_no, post.post_id"
        )
    _replace_by_views(schema, prefix, dialect)
    if dialect == "postgresql":
        _run(_guards(str(schema)))
    elif dialect == "sqlite":
        _run(_guards_of_sqlite())
    elif dialect == "mssql":
        _run(iter((_NUMBER_OF_SQL_SERVER,)))


def _run(statements: Iterator[str]) -> None:
    for statement in statements:
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))


def _number_batches(schema: str | None, prefix: str, dialect: str) -> None:
    connection = op.get_bind()
    if dialect == "mssql":
        op.add_column("batch", sa.Column("batch_no", sa.Integer(), sa.Identity(), nullable=False), schema=schema)
    else:
        op.add_column("batch", sa.Column("batch_no", sa.Integer()), schema=schema)
        guard = ""
        if dialect == "sqlite":
            query = "SELECT sql FROM sqlite_master WHERE name = 'guard_update_batch'"
            guard = connection.exec_driver_sql(query).scalar_one()
            connection.exec_driver_sql("DROP TRIGGER guard_update_batch")
        else:
            connection.exec_driver_sql(f"ALTER TABLE {prefix}batch DISABLE TRIGGER USER")
        connection.exec_driver_sql(
            f"UPDATE {prefix}batch SET batch_no = (SELECT count(*) FROM {prefix}batch AS other "
            "WHERE other.started_at < batch.started_at "
            "OR (other.started_at = batch.started_at AND other.batch_id <= batch.batch_id))"
        )
        connection.exec_driver_sql(guard or f"ALTER TABLE {prefix}batch ENABLE TRIGGER USER")
    op.create_index("batch_number", "batch", ["batch_no"], unique=True, schema=schema)
    op.create_index(
        "batch_frozen_no",
        "batch",
        ["batch_no"],
        schema=schema,
        sqlite_where=sa.text(_FROZEN),
        postgresql_where=sa.text(_FROZEN),
        mssql_where=sa.text(_FROZEN),
    )


def _replace_by_views(schema: str | None, prefix: str, dialect: str) -> None:
    connection = op.get_bind()
    create = {"postgresql": "CREATE OR REPLACE VIEW", "mssql": "CREATE OR ALTER VIEW"}.get(dialect, "CREATE VIEW")
    if dialect == "sqlite":
        connection.exec_driver_sql("DROP VIEW bokningsbegaran_released")
    # Replaced, since the accounts that may read a view lose that with it.
    released = read_sql("create_bokningsbegaran_released.3", schema)
    connection.exec_driver_sql(_with_hex(released.replace("CREATE VIEW", create, 1), dialect))
    for table in _KEYS:
        if dialect == "postgresql":
            query = (
                "SELECT DISTINCT pg_get_userbyid(right_of.grantee) FROM pg_class, aclexplode(relacl) AS right_of "
                f"WHERE oid = '{prefix}{table}'::regclass AND privilege_type = 'SELECT' "
                "AND right_of.grantee <> relowner AND right_of.grantee <> 0"
            )
            readers = connection.exec_driver_sql(query).scalars().all()
        else:
            readers = []
        op.drop_table(table, schema=schema)
        connection.exec_driver_sql(_with_hex(read_sql(f"create_{table}", schema), dialect))
        for reader in readers:
            name = connection.dialect.identifier_preparer.quote(reader)
            connection.exec_driver_sql(f"GRANT SELECT ON {prefix}{table} TO {name}")


def _with_hex(view: str, dialect: str) -> str:
    return re.sub(r"hex_digits\(([\w.]+)\)", lambda found: _HEX_OF[dialect].format(found[1]), view)


def _functions(schema: str) -> Iterator[str]:
    refuse = "RAISE EXCEPTION USING ERRCODE = 'P0W01', MESSAGE ="
    tables = ", ".join(f"'{table}_row'" for table in _KEYS)
    uncounted = {
        table: "".join(f", ALTER COLUMN {name} SET STATISTICS 0" for name in _UNSOUGHT[table]) for table in _KEYS
    }
    unsought = " ".join(f"WHEN '{table}_row' THEN '{text}'" for table, text in uncounted.items())

    def function(signature: str, returns: str, body: str, more: str = "") -> str:
        # The search path is fixed: otherwise a session could set its own and replace an operator such as "=".
        return f"""
            CREATE FUNCTION {schema}.{signature} RETURNS {returns}
            LANGUAGE plpgsql {more} SET search_path = pg_catalog, pg_temp AS $$ {body} $$
            """

    yield f"""
        CREATE FUNCTION {schema}.batch_number(whose text) RETURNS integer
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
            -- A batch keeps its number for ever, so the planner may call this, and plan for that batch's partitions.
            SELECT batch_no FROM {schema}.batch WHERE batch_id = whose
        $$
        """
    yield f"CREATE SEQUENCE {schema}.part_number"
    yield function(
        "number_batch()",
        "trigger",
        f"""
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtext('{schema}.batch_no'));
            NEW.batch_no := (SELECT coalesce(max(batch_no), 0) + 1 FROM {schema}.batch);
            RETURN NEW;
        END
        """,
    )
    yield (
        f"CREATE TRIGGER number_batch BEFORE INSERT ON {schema}.batch "
        f"FOR EACH ROW EXECUTE FUNCTION {schema}.number_batch()"
    )
    yield (
        f"CREATE TRIGGER guard_number BEFORE UPDATE OF batch_no ON {schema}.batch "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()"
    )
    yield function(
        "require_changeable(whose text, lost boolean)",
        "integer",
        f"""
        DECLARE
            known {schema}.batch;
        BEGIN
            SELECT * INTO known FROM {schema}.batch WHERE batch_id = whose FOR NO KEY UPDATE;
            IF NOT FOUND THEN
                {refuse} 'batch ' || whose || ' is unknown';
            END IF;
            IF known.{_FROZEN} AND NOT (
                lost
                AND known.{_DECIDED}
                AND EXISTS (
                    SELECT FROM {schema}.batch_event AS told WHERE told.batch_id = whose AND told.event = 'purged'
                )
            ) THEN
                {refuse} 'batch ' || whose || ' is fixed: its rows stay as they are';
            END IF;
            RETURN known.batch_no;
        END
        """,
    )
    yield function(
        "make_leaf(base text, number integer, part bigint, lower_key bigint, upper_key bigint)",
        "text",
        f"""
        DECLARE
            leaf text := format('%s_%s_%s', base, number, part);
        BEGIN
            -- With this constraint the table is attached without another look at its rows.
            EXECUTE format(
                'CREATE TABLE {schema}.%I (LIKE {schema}.%I INCLUDING STORAGE, '
                'CONSTRAINT part CHECK (batch_no = %s%s%s))',
                leaf, base, number,
                coalesce(' AND post_id >= ' || lower_key, ''),
                coalesce(' AND post_id < ' || upper_key, '')
            );
            -- By its statistics every row has the number. Then a plan for a number that is known only when it runs
            -- would read all partitions. With this, it looks up the number in each, and skips those of other batches.
            -- A hundredth of the rows is few enough for that. It is not one row: then a plan would look up a post of a
            -- batch by the number alone, and read the whole batch for each post.
            EXECUTE format(
                'ALTER TABLE {schema}.%I '
                'ALTER COLUMN batch_no SET DEFAULT %s, ALTER COLUMN batch_no SET (n_distinct = 100)%s',
                leaf, number,
                -- To count what no plan depends on takes most of the time of ANALYZE: it would sort texts.
                CASE base {unsought} END
            );
            RETURN leaf;
        END
        """,
    )
    yield function(
        "key_leaf(base text, leaf text)",
        "void",
        f"""
        BEGIN
            EXECUTE format(
                'ALTER TABLE {schema}.%I ADD CONSTRAINT %I PRIMARY KEY (batch_no, post_id%s) '
                'WITH (fillfactor = 100)',
                leaf, leaf || '_pkey', CASE base WHEN 'finding_row' THEN ', rule' ELSE '' END
            );
        END
        """,
    )
    yield function(
        "attach_leaf(base text, leaf text, number integer, lower_key bigint, upper_key bigint)",
        "void",
        f"""
        DECLARE
            operation text;
        BEGIN
            EXECUTE format(
                'ALTER TABLE {schema}.%I ATTACH PARTITION {schema}.%I FOR VALUES FROM (%s, %s) TO (%s, %s)',
                base, leaf,
                number, coalesce(quote_literal(lower_key), 'MINVALUE'),
                number, coalesce(quote_literal(upper_key), 'MAXVALUE')
            );
            EXECUTE format('ALTER TABLE {schema}.%I DROP CONSTRAINT part', leaf);
            -- The guards of a partitioned table do not run for a statement that names a partition.
            FOREACH operation IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE'] LOOP
                EXECUTE format(
                    'CREATE TRIGGER %I BEFORE %s ON {schema}.%I FOR EACH STATEMENT '
                    'EXECUTE FUNCTION {schema}.refuse_frozen_part(%L, %L)',
                    'guard_' || lower(operation), operation, leaf, number, base
                );
            END LOOP;
            EXECUTE format(
                'CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON {schema}.%I FOR EACH STATEMENT '
                'EXECUTE FUNCTION {schema}.refuse_change()',
                leaf
            );
        END
        """,
    )
    yield f"""
        CREATE FUNCTION {schema}.leaves(
            base text, number integer, OUT leaf text, OUT lower_key bigint, OUT upper_key bigint
        ) RETURNS SETOF record
        LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
            SELECT c.relname::text, bound[2]::bigint, bound[3]::bigint
            FROM pg_inherits AS i
            INNER JOIN pg_class AS c ON i.inhrelid = c.oid
            CROSS JOIN LATERAL regexp_match(
                pg_get_expr(c.relpartbound, c.oid),
                'FROM [(]([0-9]+), (?:MINVALUE|''?(-?[0-9]+)''?)[)] TO [(][0-9]+, (?:MAXVALUE|''?(-?[0-9]+)''?)[)]'
            ) AS bound
            WHERE i.inhparent = format('{schema}.%I', base)::regclass AND bound[1]::integer = number
        $$
        """
    yield f"""
        CREATE FUNCTION {schema}.met(
            base text, number integer, low bigint, high bigint,
            OUT leaf text, OUT lower_key bigint, OUT upper_key bigint
        ) RETURNS SETOF record
        LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
            SELECT l.leaf, l.lower_key, l.upper_key
            FROM {schema}.leaves(base, number) AS l
            WHERE
                (high IS NULL OR l.lower_key IS NULL OR l.lower_key < high)
                AND (low IS NULL OR l.upper_key IS NULL OR l.upper_key > low)
        $$
        """
    yield function(
        "hold_rows(patience interval)",
        "boolean",
        f"""
        DECLARE
            limit_before text := current_setting('lock_timeout');
            until timestamptz := clock_timestamp() + patience;
        BEGIN
            -- A partition goes while nobody reads the table. Readers that come while this waits would wait behind it,
            -- so it waits for moments only, and lets them by in between.
            LOOP
                BEGIN
                    PERFORM set_config('lock_timeout', '50ms', TRUE);
                    LOCK TABLE {", ".join(f"ONLY {schema}.{table}_row" for table in _KEYS)} IN ACCESS EXCLUSIVE MODE;
                    PERFORM set_config('lock_timeout', limit_before, TRUE);
                    RETURN TRUE;
                EXCEPTION WHEN lock_not_available THEN
                    IF clock_timestamp() > until THEN
                        RETURN FALSE;
                    END IF;
                END;
                PERFORM pg_sleep(0.1 + random() / 10);
            END LOOP;
        END
        """,
    )
    yield function(
        "hold_rows()",
        "void",
        f"""
        DECLARE
            patience interval := current_setting('lock_timeout')::interval;
        BEGIN
            IF NOT {schema}.hold_rows(CASE patience WHEN '0'::interval THEN '1 hour' ELSE patience END) THEN
                RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = 'rows of posts are being read';
            END IF;
        END
        """,
    )
    yield function(
        "cut_leaf(base text, number integer, old text, low bigint, high bigint, lower_key bigint, upper_key bigint)",
        "void",
        f"""
        DECLARE
            below text;
            above text;
        BEGIN
            -- What the old partition has outside of the range stays, in a partition for each side.
            IF lower_key IS NOT NULL AND (low IS NULL OR low < lower_key) THEN
                below := {schema}.make_leaf(base, number, nextval('{schema}.part_number'), low, lower_key);
                EXECUTE format(
                    'INSERT INTO {schema}.%I SELECT * FROM {schema}.%I WHERE post_id < %s', below, old, lower_key
                );
            END IF;
            IF upper_key IS NOT NULL AND (high IS NULL OR high > upper_key) THEN
                above := {schema}.make_leaf(base, number, nextval('{schema}.part_number'), upper_key, high);
                EXECUTE format(
                    'INSERT INTO {schema}.%I SELECT * FROM {schema}.%I WHERE post_id >= %s', above, old, upper_key
                );
            END IF;
            EXECUTE format('DROP TABLE {schema}.%I', old);
            IF below IS NOT NULL THEN
                PERFORM {schema}.attach_leaf(base, below, number, low, lower_key);
            END IF;
            IF above IS NOT NULL THEN
                PERFORM {schema}.attach_leaf(base, above, number, upper_key, high);
            END IF;
        END
        """,
    )
    yield function(
        "new_part(number integer, lower_key bigint, upper_key bigint)",
        "void",
        f"""
        DECLARE
            part bigint := nextval('{schema}.part_number');
            base text;
        BEGIN
            FOREACH base IN ARRAY ARRAY[{tables}] LOOP
                PERFORM {schema}.attach_leaf(
                    base, {schema}.make_leaf(base, number, part, lower_key, upper_key), number, lower_key, upper_key
                );
            END LOOP;
        END
        """,
    )
    yield function(
        "create_part(whose text, lower_key bigint, upper_key bigint)",
        "bigint",
        f"""
        DECLARE
            part bigint := nextval('{schema}.part_number');
            number integer := {schema}.batch_number(whose);
            caller text := current_setting('role');
            base text;
            leaf text;
            orphan text;
        BEGIN
            IF NOT EXISTS (SELECT FROM {schema}.batch WHERE batch_id = whose AND NOT {_FROZEN}) THEN
                {refuse} 'batch ' || whose || ' is unknown or fixed: no rows are loaded';
            END IF;
            -- Nobody else sees the tables of an open transaction. So one that is seen was left without being attached.
            FOR orphan IN
                SELECT relname FROM pg_class
                WHERE
                    relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND NOT relispartition
                    AND relname ~ '^(disposition|finding|bokningsbegaran)_row_[0-9]+_[0-9]+$'
            LOOP
                EXECUTE format('DROP TABLE {schema}.%I', orphan);
            END LOOP;
            IF caller = 'none' THEN
                caller := session_user;
            END IF;
            FOREACH base IN ARRAY ARRAY[{tables}] LOOP
                leaf := {schema}.make_leaf(base, number, part, lower_key, upper_key);
                IF caller <> current_user THEN
                    EXECUTE format('GRANT INSERT ON {schema}.%I TO %I', leaf, caller);
                END IF;
            END LOOP;
            RETURN part;
        END
        """,
        "SECURITY DEFINER",
    )
    yield function(
        "key_part(whose text, part bigint)",
        "void",
        f"""
        DECLARE
            base text;
        BEGIN
            FOREACH base IN ARRAY ARRAY[{tables}] LOOP
                PERFORM {schema}.key_leaf(base, format('%s_%s_%s', base, {schema}.batch_number(whose), part));
            END LOOP;
        END
        """,
        "SECURITY DEFINER",
    )
    yield function(
        "attach_part(whose text, part bigint, lower_key bigint, upper_key bigint)",
        "void",
        f"""
        DECLARE
            number integer := {schema}.require_changeable(whose, FALSE);
            caller text := current_setting('role');
            lower_bound bigint := coalesce(lower_key, -9223372036854775808);
            upper_bound bigint := coalesce(upper_key - 1, 9223372036854775807);
            base text;
            named text;
            old record;
            replaced boolean := FALSE;
        BEGIN
            IF caller = 'none' THEN
                caller := session_user;
            END IF;
            IF EXISTS (SELECT FROM {schema}.met('disposition_row', number, lower_key, upper_key)) THEN
                IF NOT {schema}.hold_rows('1 second') THEN
                    -- Somebody reads for longer. Rows are replaced in the partition that is there, if it is one.
                    replaced := (
                        SELECT
                            count(*) = 1
                            AND bool_and(m.lower_key IS NULL OR m.lower_key <= lower_bound)
                            AND bool_and(m.upper_key IS NULL OR m.upper_key > upper_bound)
                        FROM {schema}.met('disposition_row', number, lower_key, upper_key) AS m
                    );
                    IF NOT replaced THEN
                        PERFORM {schema}.hold_rows();
                    END IF;
                END IF;
            END IF;
            FOREACH base IN ARRAY ARRAY[{tables}] LOOP
                named := format('%s_%s_%s', base, number, part);
                IF replaced THEN
                    EXECUTE format(
                        'DELETE FROM {schema}.%I WHERE batch_no = %s AND post_id >= %s AND post_id <= %s',
                        base, number, lower_bound, upper_bound
                    );
                    EXECUTE format('INSERT INTO {schema}.%I SELECT * FROM {schema}.%I', base, named);
                    EXECUTE format('DROP TABLE {schema}.%I', named);
                    CONTINUE;
                END IF;
                FOR old IN SELECT * FROM {schema}.met(base, number, lower_key, upper_key) LOOP
                    PERFORM {schema}.cut_leaf(
                        base, number, old.leaf, old.lower_key, old.upper_key, lower_key, upper_key
                    );
                END LOOP;
                IF caller <> current_user THEN
                    EXECUTE format('REVOKE ALL ON {schema}.%I FROM %I', named, caller);
                END IF;
                PERFORM {schema}.attach_leaf(base, named, number, lower_key, upper_key);
            END LOOP;
        END
        """,
        "SECURITY DEFINER",
    )
    yield function(
        "drop_parts(whose text)",
        "void",
        f"""
        DECLARE
            number integer := {schema}.require_changeable(whose, TRUE);
            base text;
            old record;
        BEGIN
            PERFORM {schema}.hold_rows();
            FOREACH base IN ARRAY ARRAY[{tables}] LOOP
                FOR old IN SELECT * FROM {schema}.leaves(base, number) LOOP
                    EXECUTE format('DROP TABLE {schema}.%I', old.leaf);
                END LOOP;
            END LOOP;
        END
        """,
        "SECURITY DEFINER",
    )
    yield f"""
        CREATE OR REPLACE FUNCTION {schema}.analyze_rows(staged text) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            -- Only the owner of a table may count its rows, and the account that loads them need not be.
            IF staged = 'batch_partition' OR EXISTS (
                SELECT FROM pg_inherits
                WHERE
                    inhrelid = to_regclass(format('{schema}.%I', staged))
                    AND inhparent = ANY (ARRAY[{", ".join(f"'{schema}.{table}_row'" for table in _KEYS)}]::regclass[])
            ) THEN
                EXECUTE format('ANALYZE {schema}.%I', staged);
            END IF;
        END
        $$
        """
    yield f"""
        CREATE FUNCTION {schema}.refuse_frozen_part() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            frozen text;
        BEGIN
            SELECT batch_id INTO frozen
            FROM {schema}.batch
            WHERE batch_no = TG_ARGV[0]::integer AND {_fixed(schema)};
            IF frozen IS NOT NULL THEN
                {refuse} 'batch ' || frozen || ' is fixed: its rows in ' || TG_ARGV[1] || ' stay as they are';
            END IF;
            RETURN NULL;
        END
        $$
        """
    for named in (
        "require_changeable(text, boolean)",
        "make_leaf(text, integer, bigint, bigint, bigint)",
        "key_leaf(text, text)",
        "attach_leaf(text, text, integer, bigint, bigint)",
        "hold_rows(interval)",
        "hold_rows()",
        "cut_leaf(text, integer, text, bigint, bigint, bigint, bigint)",
        "leaves(text, integer)",
        "met(text, integer, bigint, bigint)",
        "new_part(integer, bigint, bigint)",
        "create_part(text, bigint, bigint)",
        "key_part(text, bigint)",
        "attach_part(text, bigint, bigint, bigint)",
        "drop_parts(text)",
    ):
        yield f"REVOKE ALL ON FUNCTION {schema}.{named} FROM PUBLIC"


def _fixed(schema: str) -> str:
    """Return the condition that an operation on rows of a batch is refused."""
    return f"""
        {_FROZEN}
        AND NOT (
            TG_OP = 'DELETE'
            AND {_DECIDED}
            AND EXISTS (
                SELECT FROM {schema}.batch_event AS told
                WHERE told.batch_id = batch.batch_id AND told.event = 'purged'
            )
        )
        """


def _guards(schema: str) -> Iterator[str]:
    refuse = "RAISE EXCEPTION USING ERRCODE = 'P0W01', MESSAGE ="
    yield f"""
        CREATE FUNCTION {schema}.refuse_frozen_row() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            batches integer[];
            frozen text;
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                batches := ARRAY(SELECT batch_no FROM touched UNION SELECT batch_no FROM arrived);
            ELSE
                batches := ARRAY(SELECT DISTINCT batch_no FROM touched);
            END IF;
            SELECT min(batch_id) INTO frozen FROM {schema}.batch WHERE batch_no = ANY (batches) AND {_fixed(schema)};
            IF frozen IS NOT NULL THEN
                {refuse} 'batch ' || frozen || ' is fixed: its rows in ' || TG_TABLE_NAME || ' stay as they are';
            END IF;
            RETURN NULL;
        END
        $$
        """
    seen = {
        "INSERT": "REFERENCING NEW TABLE AS touched",
        "UPDATE": "REFERENCING OLD TABLE AS touched NEW TABLE AS arrived",
        "DELETE": "REFERENCING OLD TABLE AS touched",
    }
    for table in _KEYS:
        for operation, tables in seen.items():
            yield (
                f"CREATE TRIGGER guard_{operation.lower()} AFTER {operation} ON {schema}.{table}_row {tables} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_frozen_row()"
            )
        yield (
            f"CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON {schema}.{table}_row "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()"
        )
    # An account that may call the function may load.
    before = f"has_table_privilege('{schema}.bokningsbegaran', 'INSERT')"
    after = f"has_function_privilege('{schema}.create_part(text, bigint, bigint)', 'EXECUTE')"
    for name in ("guard_entry", "guard_changer"):
        made = op.get_bind().exec_driver_sql(f"SELECT pg_get_functiondef('{schema}.{name}'::regproc)").scalar_one()
        if before not in made:
            raise RuntimeError(f"the staging schema is not as 0022 left it: {name} asks for another right")
        yield made.replace(before, after)


def _guards_of_sqlite() -> Iterator[str]:
    yield """
        CREATE TRIGGER number_batch AFTER INSERT ON batch
        WHEN NEW.batch_no IS NULL
        BEGIN
            UPDATE batch
            SET batch_no = (SELECT coalesce(max(batch_no), 0) + 1 FROM batch)
            WHERE batch_id = NEW.batch_id;
        END
        """
    yield """
        CREATE TRIGGER guard_number BEFORE UPDATE OF batch_no ON batch
        WHEN OLD.batch_no IS NOT NULL
        BEGIN
            SELECT RAISE(ABORT, 'guard: a batch keeps its number');
        END
        """
    purged = """
        EXISTS (
            SELECT 1
            FROM batch AS gone
            INNER JOIN batch_event AS told ON gone.batch_id = told.batch_id
            WHERE gone.batch_no = OLD.batch_no AND told.event = 'purged'
        )
        """
    batches = {
        "INSERT": "= NEW.batch_no",
        "UPDATE": "IN (OLD.batch_no, NEW.batch_no)",
        "DELETE": f"= OLD.batch_no AND NOT ({_DECIDED} AND {purged})",
    }
    for table in _KEYS:
        for operation, which in batches.items():
            # The index has few batches and covers the query: a load runs it once per row.
            yield f"""
                CREATE TRIGGER guard_{operation.lower()}_{table}_row BEFORE {operation} ON {table}_row
                WHEN EXISTS (SELECT 1 FROM batch INDEXED BY batch_frozen_no WHERE {_FROZEN} AND batch_no {which})
                BEGIN
                    SELECT RAISE(ABORT, 'guard: the batch is fixed, its rows in {table}_row stay as they are');
                END
                """
