"""Lineage events: what of a run leaves Airflow, and with which transport any does."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from openlineage.client.event_v2 import InputDataset, Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import RunFacet, error_message_run, parent_run, source_code_job, sql_job
from openlineage.client.serde import Serde

from waitlist.exceptions import SettingsError
from waitlist_airflow import lineage_guard
from waitlist_airflow.lineage import Lineage, LineageConfig

SECRET = "Hemlig, Hanna: avliden enligt anhörig"
RUN = "0192d7a1-7b2c-7def-8000-000000000001"
CONSOLE = {"type": "console"}


def event(name: str, state: RunState = RunState.COMPLETE) -> RunEvent:
    """Return an event with everything that the provider, the client and hooks may put into one."""
    root = parent_run.Root(parent_run.RootRun(RUN), parent_run.RootJob("default", SECRET))
    run: dict[str, Any] = {
        "airflow": RunFacet().with_additional_properties(
            dagRun={"conf": {"reason": SECRET}, "note": SECRET, "triggering_user_name": SECRET},
            task={"hitl_summary": {"params_input": {"motivering": SECRET}}},
        ),
        "errorMessage": error_message_run.ErrorMessageRunFacet(SECRET, "python", SECRET),
        "parent": parent_run.ParentRunFacet(parent_run.Run(RUN), parent_run.Job("default", "waitlist_dry_run"), root),
        "environmentVariables": RunFacet().with_additional_properties(environmentVariables=[SECRET]),
    }
    job: dict[str, Any] = {
        "sql": sql_job.SQLJobFacet(query=f"SELECT '{SECRET}'"),
        "sourceCode": source_code_job.SourceCodeJobFacet("python", SECRET),
    }
    return RunEvent(
        eventType=state,
        eventTime="2024-10-01T02:00:00+00:00",
        run=Run(RUN, run),
        job=Job("default", name, job),
        inputs=[InputDataset("odbc://pmo", SECRET)],
        producer="https://airflow.apache.org",
    )


def passed_on(name: str, state: RunState = RunState.COMPLETE, **options: Any) -> dict[str, Any]:
    """Return what is passed on of an event."""
    transport = Lineage(LineageConfig.from_dict({"to": CONSOLE, **options}))
    return dict(json.loads(Serde.to_json(transport.permitted(event(name, state)))))


@pytest.mark.parametrize("state", sorted(RunState, key=str))
@pytest.mark.parametrize(
    "name", ["waitlist_dry_run", "waitlist_dry_run.assess", "waitlist_migration.approve", "another"]
)
def test_no_text_of_a_person_or_a_hook_is_passed_on(name: str, state: RunState) -> None:
    passed = passed_on(name, state)
    assert "Hemlig" not in json.dumps(passed, ensure_ascii=False)
    assert (passed["eventType"], passed["job"]["name"], passed["run"]["runId"]) == (state.value, name, RUN)


def test_only_a_step_that_is_done_has_made_something() -> None:
    assert [one["name"] for one in passed_on("waitlist_migration.assess")["outputs"]] == [
        "bokningsbegaran", "disposition", "finding",
    ]  # fmt: skip
    for name, state in (
        ("waitlist_migration.assess", RunState.START),
        ("waitlist_migration.assess", RunState.FAIL),
        ("another.assess", RunState.COMPLETE),
        ("waitlist_dry_run", RunState.COMPLETE),
        ("waitlist_dry_run.assess.query.1", RunState.COMPLETE),
    ):
        passed = passed_on(name, state)
        assert (passed["inputs"], passed["outputs"]) == ([], [])


def test_a_catalogue_may_have_names_of_its_own_for_the_places() -> None:
    passed = passed_on("waitlist_dry_run.extract", namespaces={"pmo": "mssql://pmo.region.example:1433"})
    assert passed["inputs"][0]["namespace"] == "mssql://pmo.region.example:1433"
    (made,) = passed["outputs"]
    assert made["namespace"] == "snapshots"
    assert (
        made["facets"]["columnLineage"]["fields"]["orsak"]["inputFields"][0]["namespace"]
        == "mssql://pmo.region.example:1433"
    )


def test_a_hand_off_is_named_where_the_settings_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passed_on("waitlist_migration.hand_off")["outputs"] == []
    monkeypatch.setenv("WAITLIST_HANDOFF_URL", "file:///tmp/hand_off")
    assert passed_on("waitlist_migration.hand_off")["outputs"][0]["name"] == "bokningsbegaran.csv"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"to": "console"},
        {"to": CONSOLE, "name_spaces": {}},
        {"to": CONSOLE, "namespaces": {"pom": "x"}},
        {"to": {"type": "http", "url": "http://catalogue.region.example"}},
        {"to": {"type": "http", "url": "https://catalogue.region.example", "verify": False}},
        {"to": {"type": "composite", "transports": [{"type": "http", "url": "http://catalogue.region.example"}]}},
    ],
)
def test_options_that_are_wrong_or_without_tls_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="openlineage"):
        LineageConfig.from_dict({"type": lineage_guard.TRANSPORT, **options})


LISTENERS = """
from airflow.sdk._shared.listeners.listener import ListenerManager
from airflow.sdk.plugins_manager import integrate_listener_plugins
manager = ListenerManager()
integrate_listener_plugins(manager)
print([type(one).__name__ for one in manager.pm.get_plugins()])
"""
OURS = json.dumps({"type": lineage_guard.TRANSPORT, "to": CONSOLE})


@pytest.mark.parametrize(
    ("given", "sent", "disabled"),
    [
        ({}, False, None),
        ({"AIRFLOW__OPENLINEAGE__TRANSPORT": OURS}, True, None),
        ({"AIRFLOW__OPENLINEAGE__TRANSPORT": OURS, "AIRFLOW__OPENLINEAGE__DISABLED": "true"}, False, "true"),
        ({"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(CONSOLE)}, False, "True"),
        ({"AIRFLOW__OPENLINEAGE__TRANSPORT": "not json"}, False, "True"),
        ({"AIRFLOW__OPENLINEAGE__TRANSPORT": OURS, "AIRFLOW__OPENLINEAGE__CONFIG_PATH": "/a/file"}, False, "True"),
        ({"AIRFLOW__OPENLINEAGE__TRANSPORT": OURS, "AIRFLOW__OPENLINEAGE__CONFIG_CONN_ID": "catalogue"}, False, "True"),
        ({"AIRFLOW__OPENLINEAGE__CONFIG_CONN_ID": "catalogue"}, False, "True"),
        ({"OPENLINEAGE_URL": "https://catalogue.region.example"}, False, "True"),
        ({"OPENLINEAGE_CONFIG": "/a/file"}, False, "True"),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "console"}, False, "True"),
    ],
)
def test_nothing_is_sent_but_through_the_transport_that_holds_back(
    monkeypatch: pytest.MonkeyPatch, given: Mapping[str, str], sent: bool, disabled: str | None
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, **given})
    assert lineage_guard.close() is sent
    assert os.environ.get("AIRFLOW__OPENLINEAGE__DISABLED") == disabled


@pytest.mark.parametrize(("transport", "listens"), [(OURS, True), (json.dumps(CONSOLE), False)])
def test_a_process_of_airflow_s_heeds_it(transport: str, listens: bool) -> None:
    """Airflow loads our plugin before the provider's."""
    settings = {"AIRFLOW__OPENLINEAGE__TRANSPORT": transport, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LISTENERS],
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ("OpenLineageListener" in done.stdout) is listens
