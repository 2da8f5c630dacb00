"""The rows of work lists, and the unnamed temporary files that store them by unit until they are written."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns import dates, texts
from waitlist.reports.since import Since
from waitlist.reports.worklist.advice import Advice, Sheet
from waitlist.staging.post_outcomes import Entry, current
from waitlist.swedish.formats import moment
from waitlist.swedish.words import CONTACT_FORM_LABELS, POST_OUTCOME_LABELS, WORK_LIST_MASKED

SHEETS: Final = tuple(Sheet)

ROWS: Final = pa.schema(
    [
        pa.field("unit", pa.int32(), nullable=False),
        pa.field("sheet", pa.int8(), nullable=False),
        pa.field("first", pa.bool_(), nullable=False),
        pa.field("undated", pa.bool_(), nullable=False),
        pa.field("from_day", pa.date32()),
        pa.field("fore_day", pa.date32()),
        pa.field("post_id", pa.int64(), nullable=False),
        *(
            pa.field(name, pa.string())
            for name in (
                "personnummer", "patient", "kategori", "boka_from", "boka_fore", "kontaktform", "anvandare", "filial",
                "unit_in_pmo", "recommended_list", "label", "action", "others", "rule", "done", "note",
            )
        ),
        pa.field("since", pa.date32()),
    ]
)  # fmt: skip
"""One row for each post that needs an action.

``unit`` is an index among the batch's units, ``sheet`` an index in ``SHEETS``. ``boka_from`` and ``boka_fore`` are the
dates as written, ``from_day`` and ``fore_day`` the same dates parsed. ``unit_in_pmo`` is filled where the unit is not
known, ``filial`` where it must be written in the texts, ``recommended_list`` where the post may be moved. ``rule`` is
the code of the finding that decides what to do. ``done`` and ``note`` are what the unit's staff have written on its
page, and ``since`` is the day from which the post has been on the list: ``annotated`` fills these three.
"""

POSTS: Final = (
    "post_id", "personnummer", "patient", "sekretess", "enhet_hsa_id", "enhet", "kategori", "kontaktform",
    "boka_from", "boka_fore", "anvandare", "filial",
)  # fmt: skip
"""The columns of ``schema.POSTS`` that a row needs."""

_URGENCY: Final = [
    ("sheet", "ascending"),
    ("first", "descending"),
    ("undated", "descending"),
    ("fore_day", "ascending", "at_start"),
    ("from_day", "ascending", "at_start"),
    ("post_id", "ascending"),
]
_LONGEST: Final = 1_000
_POSTS_OF_A_FILE: Final = 50_000
_MOST_FILES: Final = 200
_NO_TEXT: Final = pa.scalar(None, pa.string())


def make_rows(
    posts: pa.Table,
    units: npt.NDArray[np.int64],
    advices: Sequence[Advice],
    *,
    protected: npt.NDArray[np.bool_],
    unknown: npt.NDArray[np.bool_],
    recommended: pa.ChunkedArray,
) -> pa.Table:
    """Return the rows of posts; a row of a protected identity has neither name nor number.

    Args:
        posts: the columns ``POSTS``, shape (n,).
        units: indices of the units, shape (n,).
        advices: the texts of each post, shape (n,).
        protected: whether a finding says that the identity is protected, shape (n,). A post is also masked when its
            ``sekretess`` says so or is empty.
        unknown: whether the unit is not known, shape (n,).
        recommended: the SDV lists that the mapping recommends, shape (n,).

    Returns:
        a table of ``ROWS``, shape (n,).
    """
    hidden = pc.or_(pa.array(protected), pc.fill_null(posts["sekretess"], True))
    from_day, fore_day = (dates.parse(posts[name].combine_chunks()) for name in ("boka_from", "boka_fore"))
    may_move = pa.array([advice.recommends for advice in advices], pa.bool_())
    names_branch = pa.array([advice.names_branch for advice in advices], pa.bool_())
    columns: dict[str, Any] = {
        "unit": pa.array(units, pa.int32()),
        "sheet": pa.array([SHEETS.index(advice.sheet) for advice in advices], pa.int8()),
        "first": pa.array([advice.comes_first for advice in advices], pa.bool_()),
        "undated": pa.array(np.isnat(from_day) | np.isnat(fore_day)),
        "from_day": pa.array(from_day, pa.date32()),
        "fore_day": pa.array(fore_day, pa.date32()),
        "post_id": posts["post_id"],
        "personnummer": pc.if_else(hidden, WORK_LIST_MASKED, one_line(posts["personnummer"])),
        "patient": pc.if_else(hidden, WORK_LIST_MASKED, one_line(posts["patient"])),
        **{name: one_line(posts[name]) for name in ("kategori", "boka_from", "boka_fore", "anvandare")},
        "filial": pc.if_else(names_branch, one_line(posts["filial"]), _NO_TEXT),
        "kontaktform": _contact_forms(one_line(posts["kontaktform"])),
        "unit_in_pmo": pc.if_else(pa.array(unknown), _unit_in_pmo(posts), _NO_TEXT),
        "recommended_list": pc.if_else(may_move, recommended, _NO_TEXT),
        "label": pa.array([advice.label for advice in advices], pa.string()),
        "action": pa.array([advice.action for advice in advices], pa.string()),
        "others": pa.array([advice.others for advice in advices], pa.string()),
        "rule": pa.array([advice.rule for advice in advices], pa.string()),
        **{name: pa.nulls(posts.num_rows, ROWS.field(name).type) for name in ("done", "note", "since")},
    }
    return pa.table([columns[name] for name in ROWS.names], schema=ROWS)


def one_line(column: pa.ChunkedArray) -> pa.StringArray:
    """Return texts as a cell shows them: on one line, without control characters, a very long one with an ellipsis."""
    folded = texts.fold_white_space(texts.clean(column.combine_chunks())[0])
    huge = pc.greater(pc.utf8_length(folded), _LONGEST)
    if not pc.any(huge).as_py():
        return folded
    cut = pc.binary_join_element_wise(pc.utf8_slice_codeunits(folded, 0, _LONGEST), "…", "")
    return pc.if_else(huge, cut, folded)


def annotated(
    rows: pa.Table,
    since: Mapping[int, Since],
    entries: Mapping[int, Sequence[Entry]],
    lacking: Collection[int] = frozenset(),
) -> pa.Table:
    """Return a unit's rows with since when they have been on the list, and with what its staff have written.

    Args:
        rows: of ``ROWS``.
        since: by post; posts that are left out have no day.
        entries: the rows of ``post_outcome`` in the unit's name, by post.
        lacking: the posts that lack an outcome by the closing ledger: none that they have counts.
    """
    days: list[date | None] = []
    done: list[str | None] = []
    notes: list[str | None] = []
    for post_id, sheet in zip(rows["post_id"].to_pylist(), rows["sheet"].to_pylist(), strict=True):
        told = since.get(post_id)
        days.append(told.day if told else None)
        holds = current(entries.get(post_id, ()))
        outcome = None if post_id in lacking else holds.outcome
        entry = holds.mark if SHEETS[sheet] in {Sheet.CHECK, Sheet.CORRECT_IN_MILLENNIUM} else outcome
        done.append(POST_OUTCOME_LABELS[entry.outcome] if entry else None)
        notes.append(", ".join(filter(None, (entry.word, entry.actor, moment(entry.at)))) if entry else None)
    columns = {
        "since": pa.array(days, pa.date32()),
        "done": pa.array(done, pa.string()),
        "note": one_line(pa.chunked_array([pa.array(notes, pa.string())])),
    }
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), ROWS.field(name), column)
    return rows


class Aside:
    """Temporary files of rows, one file for some of the units: written once by chunk, then read once by file.

    They contain personal data, so the files have no name: they disappear with the process, however it ends.
    """

    def __init__(self, folder: Path | None, posts: int) -> None:
        """Choose the number of files.

        Args:
            folder: a folder on the disk to use; None for memory, for few rows.
            posts: about how many posts there are.
        """
        self._folder = folder
        self._count = min(_MOST_FILES, posts // _POSTS_OF_A_FILE + 1)
        self._files: dict[int, IO[bytes]] = {}
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        self._writing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            self._writing.close()
        finally:
            if error is not None:
                for file in self._files.values():
                    file.close()

    def write(self, rows: pa.Table) -> None:
        """Write rows of ``ROWS``."""
        files = rows["unit"].to_numpy() % self._count
        for number in np.unique(files).tolist():
            if number not in self._writers:
                file = self._files[number] = self._new_file()
                self._writers[number] = self._writing.enter_context(pa.ipc.new_stream(file, ROWS))
            self._writers[number].write_table(rows.filter(pa.array(files == number)))

    def read(self, units: int) -> Iterator[tuple[int, pa.Table]]:
        """Yield the index of each unit once with its rows: sheet after sheet, the most urgent posts first.

        Posts whose patient has to be looked at come first, then those with a missing or unreadable date. The others
        are ordered by Boka före, Boka fr.o.m. and post id.
        """
        for number in range(min(self._count, units)):
            rows = self._take(number)
            for place in range(number, units, self._count):
                of_unit = rows.filter(pc.equal(rows["unit"], place))
                yield place, of_unit.take(pc.sort_indices(of_unit, sort_keys=_URGENCY))

    def _new_file(self) -> IO[bytes]:
        return BytesIO() if self._folder is None else TemporaryFile(dir=self._folder)

    def _take(self, number: int) -> pa.Table:
        file = self._files.pop(number, None)
        if file is None:
            return ROWS.empty_table()
        file.seek(0)
        with file, pa.ipc.open_stream(file) as stream:
            return stream.read_all()


def _contact_forms(column: pa.StringArray) -> pa.StringArray:
    known = pc.index_in(column, value_set=pa.array(list(CONTACT_FORM_LABELS)))
    return pc.coalesce(pc.take(pa.array(list(CONTACT_FORM_LABELS.values())), known), column)


def _unit_in_pmo(posts: pa.Table) -> pa.StringArray:
    name, hsa_id = (pc.fill_null(one_line(posts[column]), "") for column in ("enhet", "enhet_hsa_id"))
    return pc.utf8_trim(pc.binary_join_element_wise(name, hsa_id, " "), " ")
