"""Writes numbers, shares and moments in Swedish form, and sorts by the Swedish alphabet."""

from datetime import datetime
from typing import Final

from waitlist.columns.dates import STOCKHOLM

_SWEDISH_ORDER: Final = str.maketrans({"å": "z\ue000", "ä": "z\ue001", "ö": "z\ue002"})


def swedish(text: str) -> str:
    """Return a sort key that puts names in Swedish order: å, ä, ö last."""
    return text.casefold().translate(_SWEDISH_ORDER)


def share(part: int, whole: int) -> str:
    """Return a share in whole per cent; it is 0 or 100 only when that is exact, and a dash where the whole is 0."""
    if not whole:
        return "–"
    if 0 < part * 100 < whole:
        return "<1 %"
    if whole * 99 < part * 100 < whole * 100:
        return ">99 %"
    return f"{(part * 200 + whole) // (whole * 2)} %"


def percent(part: float) -> str:
    """Return a share of 1 in per cent, to two decimals: 99,5 %. It is 0 or 100 only when that is exact."""
    if 0 < part < 0.0001:
        return "<0,01 %"
    if 0.9999 < part < 1:
        return ">99,99 %"
    return f"{part * 100:.2f}".rstrip("0").rstrip(".").replace(".", ",") + " %"


def number(count: int) -> str:
    """Return a count as Swedish writes it: 12 345."""
    return f"{count:,}".replace(",", " ")


def moment(value: datetime | None) -> str:
    """Return a moment in Stockholm's time, 2024-10-01 kl. 04.12; a dash for None."""
    return "–" if value is None else f"{value.astimezone(STOCKHOLM):%Y-%m-%d kl. %H.%M}"
