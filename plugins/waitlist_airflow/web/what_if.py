"""The page Vad händer om. It stores nothing, so the question is in the address."""

from typing import Annotated, Final

from fastapi import Query

from waitlist.access import Need
from waitlist.reports.pages.what_if import WhatIf, read_what_if
from waitlist_airflow.web.pages import Pages
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()

Asked = Annotated[str, Query(max_length=200)]


@pages.page(
    "/vad-hander-om", api="/api/vad-hander-om", need=Need.EVERY_UNIT, template="what_if.html", nav="Vad händer om"
)
def what_if(
    site: SiteDep,
    *,
    enhet: Asked = "",
    driftstart: Asked = "",
    grans: Asked = "",
    dagar: Asked = "",
    kategori: Asked = "",
    kontaktform: Asked = "",
    lista: Asked = "",
) -> WhatIf:
    """Judge the latest snapshot by today's facts and by the proposed ones."""
    asked = {
        "enhet": enhet,
        "driftstart": driftstart,
        "grans": grans,
        "dagar": dagar,
        "kategori": kategori,
        "kontaktform": kontaktform,
        "lista": lista,
    }
    return read_what_if(site.store, site.snapshots, asked, site.mappings, site.settings.rules)
