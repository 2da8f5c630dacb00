"""The pages Körningar and Körning, and the Data Docs of a batch."""

import dataclasses
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import sqlalchemy as sa
from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.types import DagRunTriggeredByType
from fastapi import HTTPException, Query
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response

from waitlist.access import Need
from waitlist.reports.pages.batch import BatchList, BatchPage, Step, read_batch, read_batches, run_of
from waitlist.staging import BatchState, StagingStore
from waitlist_airflow.web.access import WITHDRAWAL, ReaderDep, may_begin_withdrawals
from waitlist_airflow.web.forms import FormDep
from waitlist_airflow.web.pages import Pages
from waitlist_airflow.web.site import Site, SiteDep

pages: Final = Pages()

_DOCS_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
"""Data Docs contain their own style, and nothing else may be loaded."""
# At most as long as a file's name may be.
_BATCH: Final = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,199}")
_PAGE: Final = re.compile(r"[a-z_]{1,200}\.html")
_NEVER_RAN: Final = ("upstream_failed", "removed")
_WORST_FIRST: Final = ("failed", "running", "up_for_retry", "queued", "success", "skipped")

PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]


@pages.page("/korningar", api="/api/korningar", need=Need.EVERY_UNIT, template="batches.html", nav="Körningar")
def batches(site: SiteDep, sida: PageNumber = 1) -> BatchList:
    """Read a part of the list of batches."""
    return read_batches(site.store, sida)


@pages.page("/korningar/{batch_id}", api="/api/korningar/{batch_id}", need=Need.EVERY_UNIT, template="batch.html")
def batch(
    site: SiteDep,
    session: SessionDep,
    batch_id: str,
    jamfor: Annotated[str | None, Query(max_length=200)] = None,
    fel: Literal["", "reason", "refused"] = "",
) -> BatchPage:
    """Read one batch, compared with another where the request names one."""
    dag_id, run_id = run_of(site.store, batch_id)
    page = read_batch(
        site.store,
        batch_id,
        suites=site.suites,
        compare_with=jamfor or None,
        steps=_steps(session, dag_id, run_id),
        measured=site.measured_gates(batch_id) or (),
        docs=_docs_of(site, batch_id, "index.html") is not None,
        hands_off=site.settings.handoff_url is not None,
        receives=site.settings.receipts_url is not None,
        names=site.mappings.name_of,
        late_from=site.today.late_from,
    )
    return dataclasses.replace(page, withdrawing=_withdrawing(session, site.store, batch_id), fault=fel or None)


@pages.form(
    "/korningar/{batch_id}/aterta",
    page="/korningar/{batch_id}",
    fields=("inlast",),
    need=Need.EVERY_UNIT,
    may=[may_begin_withdrawals],
)
def begin_withdrawal(site: SiteDep, session: SessionDep, reader: ReaderDep, batch_id: str, sent: FormDep) -> Response:
    """Ask the approvers whether to withdraw a released batch; do nothing where they are asked already."""
    if site.store.batch(batch_id).state is BatchState.RELEASED and not _withdrawing(session, site.store, batch_id):
        trigger_dag(
            dag_id=WITHDRAWAL,
            triggered_by=DagRunTriggeredByType.UI,
            triggering_user_name=reader.user_id,
            conf={"batch_id": batch_id, **({"loaded": True} if sent.get("inlast") == "ja" else {})},
        )
    # Relative, so that it is right behind a proxy too.
    return RedirectResponse(f"../{quote(batch_id, safe='')}#aterta", 303)


@pages.file("/korningar/{batch_id}/data-docs/{name}", need=Need.EVERY_UNIT)
def data_docs(site: SiteDep, batch_id: str, name: str) -> Response:
    """Return a page of a batch's Data Docs."""
    page = _docs_of(site, batch_id, name)
    if page is None:
        raise HTTPException(404, "docs")
    headers = {"Content-Security-Policy": _DOCS_POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(page.read_bytes(), headers=headers)


def _docs_of(site: Site, batch_id: str, name: str) -> Path | None:
    """Return the file of a page; None where it is missing, or where a name has a form that no such file has."""
    folder = site.settings.data_docs_dir
    if folder is None or not _BATCH.fullmatch(batch_id) or not _PAGE.fullmatch(name):
        return None
    page = (folder / batch_id / name).resolve()
    return page if page.is_relative_to(folder.resolve()) and page.is_file() else None


def _withdrawing(session: Session, store: StagingStore, batch_id: str) -> bool:
    """Tell whether a run that asks whether to withdraw a released batch is under way."""
    if not store.knows(batch_id) or store.batch(batch_id).state is not BatchState.RELEASED:
        return False
    query = sa.select(DagRun.conf).where(DagRun.dag_id == WITHDRAWAL, DagRun.state.in_(("queued", "running")))
    return any((conf or {}).get("batch_id") == batch_id for conf in session.scalars(query))


def _steps(session: SessionDep, dag_id: str, run_id: str) -> tuple[Step, ...]:
    """Return the tasks of a run from Airflow, in the order in which they began."""
    query = sa.select(TaskInstance.task_id, TaskInstance.state, TaskInstance.start_date, TaskInstance.end_date).where(
        TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.start_date.is_not(None)
    )
    parts: dict[str, list[Any]] = {}
    for row in session.execute(query):
        # The step that closes a failed run is skipped in every other run.
        if row.state not in _NEVER_RAN and (row.task_id, row.state) != ("mark_failed", "skipped"):
            parts.setdefault(row.task_id, []).append(row)
    steps = [
        Step(name, began, None if ended is None else (ended - began).total_seconds(), len(rows), _worst(rows))
        for name, rows in parts.items()
        for began, ended in [_span(rows)]
    ]
    return tuple(sorted(steps, key=lambda step: (step.began, step.name)))


def _span(rows: list[Any]) -> tuple[datetime, datetime | None]:
    ends = [row.end_date for row in rows]
    return min(row.start_date for row in rows), None if None in ends else max(ends)


def _worst(rows: list[Any]) -> str:
    states = {str(row.state or "queued") for row in rows}
    return next((state for state in _WORST_FIRST if state in states), min(states))
