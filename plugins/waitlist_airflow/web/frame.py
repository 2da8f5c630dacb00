"""The ways between these pages and Airflow's: out of Airflow's frame, and from a run of Airflow to its page here.

Airflow shows a plugin in a sandboxed frame that may open no window. So the page Utan ram says which two ways there are.
"""

import re
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from waitlist.access import Need
from waitlist.reports.pages.batch import batch_of_run
from waitlist_airflow.web.access import Requires
from waitlist_airflow.web.pages import READS, Pages, render
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()

# A path below ours with its query: no scheme, no host, and no way up.
_PLACE: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9_%-][A-Za-z0-9_%./-]*(\?[^\s\\\\]*)?|")


@pages.router.api_route(
    "/utan-ram", methods=READS, dependencies=[Depends(Requires(Need.ANY_RIGHT))], response_model=None
)
async def out_of_frame(request: Request, sida: Annotated[str, Query(max_length=2_000)] = "") -> Response:
    """Say how a page is opened without Airflow's frame."""
    place = sida if _PLACE.fullmatch(sida) else ""
    return render(request, "out_of_frame.html", target=place)


@pages.file("/korning", need=Need.EVERY_UNIT)
def run(
    site: SiteDep, dag: Annotated[str, Query(max_length=250)] = "", run: Annotated[str, Query(max_length=250)] = ""
) -> Response:
    """Lead from a run of Airflow to the page of its batch."""
    batch_id = batch_of_run(site.store, dag, run)
    # Relative: the Host header decides nothing.
    return RedirectResponse(f"korningar/{batch_id}", 303, {"Cache-Control": "no-store"})
