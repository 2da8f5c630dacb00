"""Booking requests: the rows that Millennium's RevenueCycle work list shows (chapter 6)."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns import texts
from waitlist.judge.posts import Mask, Posts
from waitlist.judge.request_columns import COLUMNS, RequestColumn

SCHEMA: Final = pa.schema(
    [
        pa.field("post_id", pa.int64(), nullable=False),
        # In a post that does not migrate, any value except the flag may be missing.
        *(pa.field(column.name, column.type, nullable=not pa.types.is_boolean(column.type)) for column in COLUMNS),
        pa.field("row_hash", pa.string(), nullable=False),
    ]
)
"""One row per post that migrates, in the order of ``post_id``."""

_UNIT_SEPARATOR: Final = "\x1f"


def build(posts: Posts, wanted: Mask) -> pa.Table:
    """Make booking requests.

    Args:
        posts: a chunk, shape (n,).
        wanted: True for each post that is to get a booking request, shape (n,). A post that migrates has a
            personnummer, a name, a window, an SDV list and a unit. Any other post may be wanted too, and gets null
            where it has no such value.

    Returns:
        A table of ``SCHEMA``, one row for each True.
    """
    rows = pa.array(np.flatnonzero(wanted))
    lists = posts.context.mappings.sdv_lists
    units = posts.units
    unit_row = _places(units.row[wanted])
    name_in_extract = texts.fold_white_space(texts.clean(pc.take(posts.column("enhet"), rows))[0])
    name_in_plan = pc.take(pa.array([unit.enhet for unit in units.rows], pa.string()), unit_row)
    unit_name = pc.if_else(pa.array(texts.is_empty(name_in_extract)), name_in_plan, name_in_extract)
    places = pc.take(pa.array([unit.begard_plats for unit in units.rows], pa.string()), unit_row)
    facilities = pc.take(pa.array([unit.vardinrattning for unit in units.rows], pa.string()), unit_row)
    visit_types = pa.array([row.visit_type for row in lists], pa.string())
    columns = [
        pc.take(posts.column("post_id"), rows),
        pc.take(posts.identities.person_id, rows),
        pc.coalesce(places, unit_name),
        pc.take(posts.text("patient").folded, rows),
        pa.array(posts.boka_from[wanted], pa.date32()),
        pa.array(posts.boka_fore[wanted], pa.date32()),
        pc.take(visit_types, _places(posts.category.own_list[wanted])),
        pc.coalesce(facilities, unit_name),
        posts.beskrivning(rows),
        pc.take(posts.sekretess, rows),
    ]
    requests = pa.Table.from_arrays(columns, names=SCHEMA.names[:-1])
    return requests.append_column("row_hash", row_hashes(requests)).cast(SCHEMA)


def _places(at: npt.NDArray[np.integer[Any]]) -> pa.Array:
    return pa.array(at, mask=at < 0)


def row_hashes(requests: pa.Table, columns: Sequence[RequestColumn] = COLUMNS) -> pa.StringArray:
    """Hash booking requests, so that a row that was changed later is detected.

    The hash is the lower-case hexadecimal SHA-256 of the UTF-8 of the canonical texts of ``post_id`` and the columns in
    their order, joined by U+001F: whole numbers in decimal, dates as ISO, flags as 1 or 0, null as the empty text.
    ``staging.row_hash`` writes the same hash in SQL.

    Args:
        requests: ``post_id`` and the columns, shape (n,).
        columns: the columns that the batch's version of the hash covers (``request_columns.hashed``).

    Returns:
        64 hexadecimal digits per row, shape (n,).
    """
    texts_of = [
        pc.cast(pc.cast(requests.column(name), pa.int8()), pa.string())
        if pa.types.is_boolean(requests.schema.field(name).type)
        else pc.cast(requests.column(name), pa.string())
        for name in ("post_id", *(column.name for column in columns))
    ]
    joined = pc.binary_join_element_wise(*texts_of, _UNIT_SEPARATOR, null_handling="replace", null_replacement="")
    return pa.array([hashlib.sha256(row).hexdigest() for row in pc.cast(joined, pa.binary()).to_pylist()], pa.string())
