"""The pages of units: the list of units, one unit, its posts' patients, and its work list."""

import dataclasses
from typing import Annotated, Final, Literal

from fastapi import Depends, HTTPException, Query
from pydantic import Field
from starlette.responses import Response

from waitlist.access import Need
from waitlist.judge.rules import RULES, Disposition
from waitlist.reports.pages.overview import Status
from waitlist.reports.pages.paging import Direction
from waitlist.reports.pages.persons import read_persons
from waitlist.reports.pages.reading import UnknownError
from waitlist.reports.pages.sample import read_notices
from waitlist.reports.pages.spread import ANY
from waitlist.reports.pages.unit import (
    Asked,
    ProtectedPost,
    Show,
    SortBy,
    Unit,
    key_of,
    read_unit,
    runs_of,
    with_persons,
)
from waitlist.reports.pages.units import UnitList, UnitsAsked, UnitSort, read_unit_list
from waitlist.reports.readiness import read_readiness
from waitlist.reports.worklist import find_snapshot, make_work_list
from waitlist.staging.access_log import Action
from waitlist_airflow.web.access import ReaderDep
from waitlist_airflow.web.looks import record_look
from waitlist_airflow.web.pages import Pages
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()

_EXCEL: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PostId = Annotated[int, Field(ge=0, lt=2**63)]


async def asked(
    *,
    beslut: Disposition | Literal[""] = "",
    regel: Annotated[str, Query(max_length=64)] = "",
    lista: Annotated[str, Query(max_length=500)] = "",
    post: PostId | Literal[""] = "",
    visa: Show | Literal[""] = "",
    sortera: SortBy = SortBy.URGENCY,
    riktning: Direction = Direction.UP,
    sida: Annotated[int, Query(ge=1, lt=2**31)] = 1,
    alla: Literal["", "ja"] = "",
    klar: PostId | Literal[""] = "",
) -> Asked:
    """Read the filter and the order of posts from the address; a form sends an open field as an empty text."""
    if regel and regel not in RULES:
        raise HTTPException(422)
    chosen = any((beslut, regel, lista, post != ""))
    return Asked(
        disposition=beslut or None,
        rule=regel or None,
        list_name=lista or None,
        post_id=None if post == "" else post,
        sort=sortera,
        direction=riktning,
        page=sida,
        # What is left to do; a number on another page leads to all the posts that it counts.
        show=visa if visa and post == "" else Show.ALL if chosen else Show.TODO,
        whole=alla == "ja",
        told=None if klar == "" else klar,
    )


AskedDep = Annotated[Asked, Depends(asked)]


async def units_asked(
    *,
    vag: Annotated[str, Query(max_length=200)] = ANY,
    lage: Status | Literal[""] = "",
    sortera: UnitSort = UnitSort.NAME,
    riktning: Direction = Direction.UP,
) -> UnitsAsked:
    """Read the filter and the order of units from the address."""
    return UnitsAsked(vag or None, lage or None, sortera, riktning)


UnitsAskedDep = Annotated[UnitsAsked, Depends(units_asked)]


@pages.page("/enhet", api="/api/enheter", need=Need.A_UNIT, template="units.html", nav="Enhet")
def units(site: SiteDep, reader: ReaderDep, asked: UnitsAskedDep) -> UnitList:
    """Read the list of the units that the reader sees."""
    with site.reading("reading the units") as connection:
        return read_unit_list(connection, site.mappings, reader.rights.sees, asked)


@pages.page("/enhet/{unit}", api="/api/enhet/{unit}", need=Need.THIS_UNIT, template="unit.html")
def unit(site: SiteDep, unit: str, asked: AskedDep) -> Unit:
    """Read the posts left at a unit."""
    key = key_of(unit)
    with site.reading("reading a unit") as connection:
        page = read_unit(connection, site.mappings, key, asked, site.today)
        notices = read_notices(site.store, connection, site.mappings, key)
    return dataclasses.replace(page, samples=tuple(notices))


@pages.page(
    "/enhet/{unit}/personer", api="/api/enhet/{unit}/personer", need=Need.THIS_UNITS_PERSONS, template="unit.html"
)
def persons(site: SiteDep, reader: ReaderDep, unit: str, asked: AskedDep) -> Unit:
    """Read the same with the patients of the posts shown, after an entry in the access log."""
    key = key_of(unit)
    with site.reading("reading a unit") as connection:
        page = read_unit(connection, site.mappings, key, asked, site.today)
    batch_id = page.latest.batch_id
    found = read_persons(site.store, batch_id, site.snapshots, [post.post_id for post in page.posts])
    # A masked patient is not shown.
    shown = {post_id: person.number for post_id, person in found.items() if not person.protected}
    with site.reading("reading why posts were rejected") as connection:
        page = with_persons(connection, page, found)
    record_look(site, reader, Action.PERSONS, page.latest, unit=key, patients=shown)
    return page


@pages.page(
    "/enhet/{unit}/skyddad/{post}",
    api="/api/enhet/{unit}/skyddad/{post}",
    need=Need.THIS_UNITS_PROTECTED,
    template="protected.html",
)
def protected(site: SiteDep, reader: ReaderDep, unit: str, post: PostId) -> ProtectedPost:
    """Read one post of the unit with its patient, protected or not, after an entry in the access log."""
    key = key_of(unit)
    with site.reading("reading a unit") as connection:
        page = read_unit(connection, site.mappings, key, Asked(post_id=post))
    batch_id = page.latest.batch_id
    found = read_persons(site.store, batch_id, site.snapshots, [shown.post_id for shown in page.posts], masked=False)
    if post not in found:
        raise UnknownError("the unit has no such post in the latest dry run")
    shown = dataclasses.replace(found[post], protected=False)
    with site.reading("reading why a post was rejected") as connection:
        told = with_persons(connection, page, {post: shown}).posts[0]
    record_look(site, reader, Action.PROTECTED, page.latest, unit=key, patients={post: found[post].number})
    return ProtectedPost(page.latest, key, page.unit.name, told, found[post])


@pages.file("/enhet/{unit}/arbetslista", need=Need.THIS_UNITS_PERSONS)
def work_list(site: SiteDep, reader: ReaderDep, unit: str) -> Response:
    """Make a unit's work list, write an entry in the access log, and send the list; it is not stored here."""
    key = key_of(unit)
    with site.reading("reading a unit") as connection:
        runs, _ = runs_of(connection, site.mappings, key)
    batch_id = runs[-1].batch_id
    readiness = read_readiness(site.store, batch_id, site.mappings)
    snapshot = find_snapshot(site.store, readiness.batch, site.snapshots)
    made = make_work_list(site.store, readiness, snapshot, site.mappings, key)
    record_look(site, reader, Action.WORK_LIST, runs[-1], unit=key, patients=made.patients)
    headers = {"Content-Disposition": f'attachment; filename="{made.name}"', "Cache-Control": "no-store"}
    return Response(made.content, media_type=_EXCEL, headers=headers)
