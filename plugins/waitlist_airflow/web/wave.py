"""The page of a wave, its document to decide on, its units' work lists, and the posts due after go-live."""

import dataclasses
import datetime as dt
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import HTTPException, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from waitlist.access import Need
from waitlist.release.closing import ClosingFault, close
from waitlist.release.gates import evaluate_units
from waitlist.release.ledger import Closing
from waitlist.reports.pages.beslutsunderlag import Beslutsunderlag, read_beslutsunderlag
from waitlist.reports.pages.dip import WEEKS, DuePage, read_due
from waitlist.reports.pages.history import dry_runs
from waitlist.reports.pages.reading import UnknownError
from waitlist.reports.pages.sample import read_told
from waitlist.reports.pages.unit import key_of
from waitlist.reports.pages.wave import Refused, WavePage, read_wave
from waitlist.reports.readiness import read_readiness
from waitlist.reports.worklist import find_snapshot, make_archive
from waitlist.staging.access_log import Action
from waitlist_airflow.web.access import ReaderDep
from waitlist_airflow.web.forms import FormDep
from waitlist_airflow.web.looks import record_look
from waitlist_airflow.web.pages import NOT_KEPT, Pages, as_pdf, render, to_plain, wants_json
from waitlist_airflow.web.site import Site, SiteDep

pages: Final = Pages()

_LONGEST_NAME: Final = 200
_NOT_BY_THE_REASON: Final = frozenset({ClosingFault.NO_RELEASE, ClosingFault.ONLY_A_LEAD})

WaveName = Annotated[str, Query(max_length=_LONGEST_NAME)]


@pages.page("/vag", api="/api/vag", need=Need.EVERY_UNIT, template="wave.html")
def wave(site: SiteDep, namn: WaveName = "") -> WavePage:
    """Read a wave; without a name the units that have none."""
    return _with_gates(site, namn)


@pages.page("/beslutsunderlag", api="/api/beslutsunderlag", need=Need.EVERY_UNIT, template="beslutsunderlag.html")
def beslutsunderlag(site: SiteDep, namn: WaveName = "") -> Beslutsunderlag:
    """Read the document that a wave is decided on."""
    page = _with_gates(site, namn)
    with site.reading("reading what a wave is decided on") as connection:
        return read_beslutsunderlag(connection, site.mappings, page, site.risks)


@pages.file("/beslutsunderlag.pdf", need=Need.EVERY_UNIT)
def beslutsunderlag_pdf(site: SiteDep, namn: WaveName = "") -> Response:
    """Make the same as a PDF."""
    page = beslutsunderlag(site, namn)
    return as_pdf("beslutsunderlag_print.html", f"beslutsunderlag-{page.batch.batch_id}.pdf", page=page)


def _with_gates(site: Site, namn: str) -> WavePage:
    with site.reading("reading a wave") as connection:
        read = read_wave(
            connection, site.mappings, namn or None, approval_hours=site.settings.approval_hours, today=site.today
        )
        samples = read_told(site.store, connection, [batch.batch_id for batch in read.batches])
    batch_id = read.latest.batch_id
    units = [unit.key for unit in read.card.units]
    own = evaluate_units(site.store, batch_id, site.limits, units, mappings=site.mappings) if namn else []
    measured = {result.gate for result in own}
    shared = [result for result in site.measured_gates(batch_id) or () if result.gate not in measured]
    return dataclasses.replace(
        read,
        gates=tuple(sorted(own, key=lambda result: result.passed)),
        shared_gates=tuple(shared),
        samples=samples,
    )


@pages.file("/vag/arbetslistor", need=Need.EVERY_PERSON)
def work_lists(site: SiteDep, reader: ReaderDep, namn: WaveName = "") -> Response:
    """Make the work lists of a wave's units, write entries in the access log, and send the lists in one archive."""
    with site.reading("reading a wave") as connection:
        latest = dry_runs(connection)[-1]
    readiness = read_readiness(site.store, latest.batch_id, site.mappings)
    if not namn or namn not in {wave.wave for wave in readiness.waves}:
        raise UnknownError("no unit of the wave has posts in the latest dry run")
    snapshot = find_snapshot(site.store, readiness.batch, site.snapshots)
    made = make_archive(site.store, readiness, snapshot, site.mappings, namn)
    for unit, patients in made.patients.items():
        record_look(site, reader, Action.WORK_LIST, latest, unit=unit, patients=patients)
    headers = {"Content-Disposition": f'attachment; filename="{made.name}"', "Cache-Control": "no-store"}
    return Response(made.content, media_type="application/zip", headers=headers)


@pages.form("/vag/avsluta", page="/vag", fields=("namn", "motivering"), need=Need.EVERY_UNIT, api="/api/vag/avsluta")
def close_wave(request: Request, site: SiteDep, reader: ReaderDep, sent: FormDep) -> Response:
    """Close a wave, and lead back to its page; where it is not closed, the page says why."""
    name, reason = sent.get("namn", ""), sent.get("motivering", "")
    if not name or len(name) > _LONGEST_NAME:
        raise HTTPException(422, "form")
    page = _with_gates(site, name)
    done = close(
        site.store.database,
        name,
        reader.user_id,
        reason,
        dt.datetime.now(dt.UTC),
        late_from=site.today.late_from,
        is_lead=reader.rights.leads,
    )
    if isinstance(done, Closing):
        if wants_json(request):
            return JSONResponse(to_plain(done), headers=NOT_KEPT)
        return RedirectResponse(f"../vag?{urlencode({'namn': name})}#slutavrakning", 303, NOT_KEPT)
    status = 409 if done in _NOT_BY_THE_REASON else 422
    if wants_json(request):
        return JSONResponse({"status": status, "error": f"closing_{done.value}"}, status, headers=NOT_KEPT)
    page = dataclasses.replace(page, refused=Refused(done, reason))
    return render(request, "wave.html", status=status, faults=site.mapping_faults, page=page)


@pages.page("/forfaller/{unit}", api="/api/forfaller/{unit}", need=Need.THIS_UNIT, template="due.html")
def due(
    site: SiteDep,
    unit: str,
    vecka: Annotated[int | None, Query(ge=1, le=WEEKS)] = None,
    sida: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> DuePage:
    """Read the posts that fall due at a unit in the weeks after go-live."""
    with site.reading("reading the weeks after go-live") as connection:
        return read_due(connection, site.mappings, key_of(unit), vecka, sida)
