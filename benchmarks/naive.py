"""The script that one would write in an afternoon: everything in memory, row by row. A baseline, and no example."""

import datetime as dt
import warnings
from typing import Any

import pandas as pd
import pyodbc
import sqlalchemy as sa

from waitlist.pmo.query import Selection, SourceQuery
from waitlist.settings import Settings


def personnummer(text: str | None, as_of: dt.date) -> str | None:
    digits = "".join(sign for sign in text or "" if sign.isdigit())
    if len(digits) != 12:
        return None
    try:
        born = dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None
    total = 0
    for place, digit in enumerate(digits[2:]):
        product = int(digit) * (2 - place % 2)
        total += product // 10 + product % 10
    return digits if total % 10 == 0 and born <= as_of else None


def day(text: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def judge(row: Any, as_of: dt.date, units: dict[str, dt.date | None], lists: set[str]) -> str:  # noqa: PLR0911
    if not row.vantar_pa_besok:
        return "leave"
    if personnummer(row.personnummer, as_of) is None or not (row.patient or "").strip():
        return "handle_manually"
    if row.nybesok:
        return "book_in_millennium"
    first, last = day(row.boka_from), day(row.boka_fore)
    if first is None or last is None or first > last or last < as_of:
        return "fix_in_pmo"
    go_live = units.get(row.enhet_hsa_id)
    if go_live is None:
        return "plan_unit"
    if as_of >= go_live or first <= go_live + dt.timedelta(days=28):
        return "book_in_millennium"
    if " ".join((row.kategori or "").split()).casefold() not in lists:
        return "move_to_sdv_list"
    if row.filial and row.filial.casefold() not in f"{row.orsak} {row.planerade_atgarder}".casefold():
        return "fix_in_pmo"
    return "migrate"


def describe(row: Any) -> str:
    parts = [("Användare", row.anvandare), ("Orsak", row.orsak), ("Planerade åtgärder", row.planerade_atgarder)]
    return " | ".join(f"{label}: {' '.join(text.split())}" for label, text in parts if text)


def script(pmo: str, staging: str, settings: Settings, as_of: dt.date) -> int:
    """Read everything, judge row by row, write everything; returns the posts."""
    statement = SourceQuery.load(settings.sql_dir).select(Selection(as_of), "q.*", None, None)
    warnings.filterwarnings("ignore", "pandas only supports SQLAlchemy", UserWarning)
    with pyodbc.connect(pmo, autocommit=True) as connection:
        posts = pd.read_sql(statement.sql, connection, params=list(statement.parameters))
    posts = posts.astype(object).where(posts.notna(), None)
    table = pd.read_csv(settings.mappings_dir / "units.csv", dtype=str, keep_default_na=False)
    units = {row.hsa_id: day(row.driftstart) for row in table.itertuples()}
    catalogue = pd.read_csv(settings.mappings_dir / "sdv_lists.csv", dtype=str)
    lists = {name.casefold() for name in catalogue.sdv_lista}
    posts["disposition"] = posts.apply(lambda row: judge(row, as_of, units, lists), axis=1)
    moving = posts[posts.disposition == "migrate"].copy()
    moving["person_id"] = moving.personnummer.apply(lambda text: personnummer(text, as_of))
    moving["beskrivning"] = moving.apply(describe, axis=1)
    moving["begart_startdatum"] = moving.boka_from.apply(day)
    moving["begart_slutdatum"] = moving.boka_fore.apply(day)
    columns = ["post_id", "person_id", "enhet", "patient", "begart_startdatum", "begart_slutdatum", "kategori"]
    engine = sa.create_engine(staging)
    kept = posts[["post_id", "enhet_hsa_id", "kategori", "disposition"]]
    kept.to_sql("naive_disposition", engine, index=False, if_exists="replace", chunksize=10_000)
    moving[[*columns, "beskrivning", "sekretess"]].to_sql(
        "naive_bokningsbegaran", engine, index=False, if_exists="replace", chunksize=10_000
    )
    return len(posts)
