"""Checks the chains, the checkpoints and the manifests of hand-offs, and names the first row that does not fit.

It reads in one state of the database, takes no lock and writes nothing. What it tells has names of tables, keys of
rows and numbers of links, and no value of a row.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from waitlist.staging import chain, schema
from waitlist.staging.chain import NO_LINK, REMOVED, STREAMING
from waitlist.staging.checkpoints import Checkpoint
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.signing import is_signed, key_id_of

Tell = Callable[[str], None]
"""Takes a line about the progress."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Something that does not fit."""

    table: str
    link: int
    """The link of the chain, or the number of the checkpoint; 0 without one."""
    row: str
    """The row's key, with / between its parts; empty where the fault is of the link or the checkpoint itself."""
    what: str

    def __str__(self) -> str:
        place = [self.table, f"row {self.row}" if self.row else "", f"link {self.link}" if self.link else "no link"]
        if self.table == schema.audit_checkpoint.name:
            place = [f"checkpoint {self.link}"]
        return f"{', '.join(filter(None, place))}: {self.what}"


@dataclass
class Found:
    """What the check has found."""

    rows: int = 0
    links: int = 0
    checkpoints: int = 0
    signed: int = 0
    """Checkpoints with a signature that the key has made; 0 without a key."""
    unsigned: int = 0
    """Checkpoints without a signature."""
    manifests: int = 0
    faults: list[Fault] = field(default_factory=list)
    """The first one of each table is the first of the table's chain."""


class _Removal(NamedTuple):
    """Rows that were removed, or are announced to be."""

    link_no: int
    """The link that has them; of an announcement the last link before."""
    rows: int
    sha256: str
    """The digest of their lines."""

    def is_of(self, removal: "_Removal") -> bool:
        """Tell whether this announcement is of a removal."""
        return self.link_no < removal.link_no and self[1:] == removal[1:]


@dataclass
class _Chain:
    """A chain as its links have it."""

    sha256: dict[int, str] = field(default_factory=dict)
    """Of each link, by its number."""
    present: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    """The digest and the link of each row that must be there, by its key."""
    removals: list[_Removal] = field(default_factory=list)


def check(
    database: Database, *, key: Ed25519PublicKey | None, manifests: Mapping[str, Mapping[str, Any]], tell: Tell
) -> Found:
    """Check everything.

    Args:
        database: the staging database.
        key: the public key of the signatures; None: they are not checked.
        manifests: what the manifests of hand-offs have under ``audit``, by batch.
        tell: receives a line for each table.

    Raises:
        StagingError: the database cannot be read.
    """
    found = Found()
    with refusals_named("checking the chains"), database.connected() as connection:
        if database.dialect == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            tables = _Tables(connection, found)
            chains = {table.name: tables.check(table, tell) for table in schema.CHAINED}
            tables.check_names(chains)
            checkpoints = [Checkpoint(**row) for row in _rows_of(connection, schema.audit_checkpoint)]
    signed = _Checkpoints(chains, key, found)
    for kept in checkpoints:
        signed.check(kept)
    signed.check_all()
    for batch_id, told in sorted(manifests.items()):
        signed.check_manifest(batch_id, told, checkpoints)
    found.faults.sort()
    return found


class _Tables:
    """The check of the tables and their links."""

    def __init__(self, connection: sa.Connection, found: Found) -> None:
        self._connection, self._found = connection, found

    def check(self, table: sa.Table, tell: Tell) -> _Chain:
        """Check a table and its chain, and return the chain."""
        links, rows = self._read(table.name), 0
        query = sa.select(table).order_by(*table.primary_key.columns)
        for row in self._connection.execute(query, execution_options=STREAMING):
            rows += 1
            line = chain.line_of(table, tuple(row))
            digest, link_no = links.present.pop(line.key, (b"", 0))
            if not link_no:
                self._fault(table.name, 0, "the row is in no link", line.key)
            elif digest != bytes.fromhex(line.sha256):
                self._fault(table.name, link_no, "the row is not as it was added", line.key)
        for row_key, (_, link_no) in links.present.items():
            self._fault(table.name, link_no, "the row is gone", row_key)
        tell(f"{table.name}: {rows:,} rows, {len(links.sha256):,} links")
        self._found.rows += rows
        self._found.links += len(links.sha256)
        return links

    def check_names(self, known: Collection[str]) -> None:
        """Check that each chain is of a table."""
        for name in self._connection.scalars(sa.select(schema.audit_link.c.chain).distinct()):
            if name not in known:
                self._fault(name, 0, "no table of this release has this chain")

    def _fault(self, table: str, link: int, what: str, row: str = "") -> None:
        self._found.faults.append(Fault(table, link, row, what))

    def _read(self, name: str) -> _Chain:
        links, head = _Chain(), chain.Head(0, NO_LINK)
        link = schema.audit_link
        query = sa.select(link).where(link.c.chain == name).order_by(link.c.link_no)
        for row in self._connection.execute(query, execution_options=STREAMING).mappings():
            number = row["link_no"]
            if number != head.link_no + 1:
                self._fault(name, number, f"link {head.link_no + 1} before it is gone")
            wanted = chain.link_sha256(name, number, row["act"], head.sha256, row["digests"])
            if row["link_sha256"] != wanted:
                self._fault(name, number, "the link does not fit its rows and the link before")
            head = chain.Head(number, row["link_sha256"])
            links.sha256[number] = head.sha256
            self._take(name, row, links)
        return links

    def _take(self, name: str, row: sa.RowMapping, links: _Chain) -> None:
        """Take the lines of a link into what must be there."""
        number, digests = row["link_no"], row["digests"]
        try:
            lines = [(line.key, bytes.fromhex(line.sha256)) for line in chain.lines_in(digests)]
        except (ValueError, TypeError):
            self._fault(name, number, "it has no list of rows")
            return
        if len(lines) != row["rows"]:
            self._fault(name, number, "it has another number of rows than it says")
        if row["act"] == REMOVED:
            links.removals.append(_Removal(number, len(lines), chain.digest_of(digests)))
            for row_key, digest in lines:
                if links.present.pop(row_key, (b"", 0))[0] != digest:
                    self._fault(name, number, "a row is removed that was not added like this", row_key)
            return
        for row_key, digest in lines:
            if row_key in links.present:
                self._fault(name, number, "an earlier link has added the row already", row_key)
            links.present[row_key] = digest, number


class _Checkpoints:
    """The check of the checkpoints, in their order, and of the manifests."""

    def __init__(self, chains: Mapping[str, _Chain], key: Ed25519PublicKey | None, found: Found) -> None:
        self._chains, self._key, self._found = chains, key, found
        self._before: Checkpoint | None = None
        self._announced: dict[str, list[_Removal]] = {}

    def check(self, kept: Checkpoint) -> None:
        """Check one, and that it fits the one before."""
        number, before = kept.checkpoint_no, self._before
        self._found.checkpoints += 1
        expected = 1 if before is None else before.checkpoint_no + 1
        if number != expected:
            self._fault(number, f"checkpoint {expected} before it is gone")
        self._check_signature(kept)
        self._before = kept
        told = _statement(kept.statement)
        if told is None:
            self._fault(number, "it has no statement")
            return
        if (told["checkpoint"], told.get("batch_id")) != (number, kept.batch_id):
            self._fault(number, "its statement is of another checkpoint")
        if told["previous"] != (None if before is None else before.sha256):
            self._fault(number, "it does not fit the checkpoint before")
        self._check_heads(kept)
        for name, removed in told.get("removed", {}).items():
            announced = _Removal(kept.heads[name].link_no, removed["rows"], removed["sha256"])
            self._announced.setdefault(name, []).append(announced)

    def check_all(self) -> None:
        """Check that one is signed, and that together they have announced each removal and no other."""
        if self._key is not None and self._found.checkpoints and not self._found.signed:
            self._fault(1, "none is signed with the key: make a signed one")
        for name, links in self._chains.items():
            announced = self._announced.get(name, [])
            for removal in links.removals:
                fitting = next((told for told in announced if told.is_of(removal)), None)
                if fitting is None:
                    what = f"{removal.rows:,} rows were removed without a checkpoint"
                    self._found.faults.append(Fault(name, removal.link_no, "", what))
                else:
                    announced.remove(fitting)
            for told in announced:
                what = f"no link after it has the {told.rows:,} rows whose removal a checkpoint has announced"
                self._found.faults.append(Fault(name, told.link_no, "", what))

    def check_manifest(self, batch_id: str, told: Mapping[str, Any], kept: Iterable[Checkpoint]) -> None:
        """Check what the manifest of a batch has, and that the database has the same."""
        self._found.manifests += 1
        of_batch = f"the manifest of batch {batch_id}"
        try:
            its = Checkpoint(
                int(told["checkpoint"]), batch_id, str(told["statement"]), told["signature"], told["key_id"]
            )
        except (KeyError, TypeError, ValueError):
            self._fault(0, f"{of_batch} has no statement of its own")
            return
        own = _statement(its.statement)
        if own is None or (own["checkpoint"], own.get("batch_id")) != (its.checkpoint_no, batch_id):
            self._fault(its.checkpoint_no, f"{of_batch} has no statement of its own")
            return
        if what := self._signature_fault(its):
            self._fault(its.checkpoint_no, f"in {of_batch} it {what}")
        if its not in kept:
            self._fault(its.checkpoint_no, f"it is not what {of_batch} has")
            self._check_heads(its)

    def _fault(self, number: int, what: str) -> None:
        self._found.faults.append(Fault(schema.audit_checkpoint.name, number, "", what))

    def _check_signature(self, kept: Checkpoint) -> None:
        if kept.signature is None:
            self._found.unsigned += 1
            if self._found.signed:
                self._fault(kept.checkpoint_no, "is unsigned, and one before it is signed")
        elif what := self._signature_fault(kept):
            self._fault(kept.checkpoint_no, what)
        elif self._key is not None:
            self._found.signed += 1

    def _signature_fault(self, kept: Checkpoint) -> str | None:
        if kept.signature is None or self._key is None:
            return None
        if kept.key_id != key_id_of(self._key):
            return "is signed with another key"
        signed = is_signed(self._key, kept.statement.encode(), kept.signature)
        return None if signed else "has a signature that is not of the key"

    def _check_heads(self, kept: Checkpoint) -> None:
        for name, head in kept.heads.items():
            there = self._chains[name].sha256.get(head.link_no) if name in self._chains else None
            if head.link_no and there != head.sha256:
                what = "is gone" if there is None else "is not what it was"
                told = f"the link {what} at checkpoint {kept.checkpoint_no}"
                self._found.faults.append(Fault(name, head.link_no, "", told))


def _rows_of(connection: sa.Connection, table: sa.Table) -> Iterator[sa.RowMapping]:
    query = sa.select(table).order_by(*table.primary_key.columns)
    return iter(connection.execute(query, execution_options=STREAMING).mappings())


def _statement(text: str) -> dict[str, Any] | None:
    """Return a statement; None for anything else."""
    try:
        told: dict[str, Any] = json.loads(text)
        heads = {name: (int(head["link"]), str(head["sha256"])) for name, head in told["heads"].items()}
        removed = [(name in heads, part["rows"], part["sha256"]) for name, part in told.get("removed", {}).items()]
        is_whole = {"checkpoint", "previous"} <= set(told) and all(known for known, *_ in removed)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return told if is_whole else None
