"""Lineage for a catalogue of a region's, as OpenLineage events of Airflow's own provider.

The provider sends much of a run that must not leave Airflow: the answer and the reason of a human step, notes, names of
users, texts of errors. ``Lineage`` is a transport that is set before the region's own. It passes on what a run and a
step are called, when they began and how they ended. To the end of a step it adds the data sets that
``waitlist.lineage`` declares, by names alone.

The setting of Airflow's is ``[openlineage] transport``: ``{"type": "waitlist_airflow.lineage.Lineage", "to": {...}}``
(``docs/deployment.md``). ``waitlist_airflow.lineage_guard`` turns off every other.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attr
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import DatasetFacet, RunFacet, column_lineage_dataset, parent_run, schema_dataset
from openlineage.client.transport import get_default_factory
from openlineage.client.transport.transport import Config, Transport

from waitlist import lineage
from waitlist.exceptions import SettingsError
from waitlist.settings import Settings
from waitlist.swedish.steps import DAG_LABELS
from waitlist.tls import is_local, is_plain_address

RUN_FACETS: Final = frozenset({"nominalTime", "processing_engine", "airflowState"})
"""What of a run is passed on: its nominal time, versions, and the states of its steps."""
JOB_FACETS: Final = frozenset({"jobType", "ownership"})
"""What of a job is passed on: whether it is a DAG or a task, and the team that owns it."""
_NOTHING: Final = lineage.Flow((), ())


@attr.define
class LineageConfig(Config):
    """The options of the transport.

    Attributes:
        to: the region's own transport, as OpenLineage has it.
        namespaces: what a place of ``lineage.PLACES`` is called in the catalogue; a place that is not named keeps its
            name.
    """

    to: dict[str, Any]
    namespaces: dict[str, str]

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> "LineageConfig":
        """Read the options.

        Raises:
            SettingsError: an option is missing or not known, or the events would be sent without TLS.
        """
        to, namespaces = params.get("to"), params.get("namespaces", {})
        if not isinstance(to, dict) or not isinstance(namespaces, dict):
            raise SettingsError("[openlineage] transport: 'to' is the transport of the catalogue, an object")
        unknown = sorted({*params} - {"type", "to", "namespaces"}) + sorted({*namespaces} - {*lineage.PLACES})
        if unknown:
            raise SettingsError(f"[openlineage] transport: not known: {', '.join(unknown)}")
        if any(_is_open(options) for options in _levels(to)):
            raise SettingsError("[openlineage] transport: a url begins with https, and the certificate is checked")
        return cls(dict(to), dict(namespaces))


class Lineage(Transport):
    """Passes on what may be known of a run, and adds what its steps read and make."""

    kind = "waitlist"
    config_class = LineageConfig

    def __init__(self, config: LineageConfig) -> None:
        """Make the region's own transport."""
        self._to = get_default_factory().create(config.to)
        self._namespaces = config.namespaces
        self._flows = lineage.flows(handed_off=bool(Settings.read_or_defaults().handoff_url))

    def emit(self, event: Any) -> Any:  # noqa: ANN401 - as OpenLineage has it
        """Pass on the permitted part of an event of a run; any other event is dropped."""
        return self._to.emit(self.permitted(event)) if isinstance(event, RunEvent) else None

    def close(self, timeout: float = -1) -> bool:
        """Close the region's own transport."""
        return self._to.close(timeout)

    def permitted(self, event: RunEvent) -> RunEvent:
        """Return the permitted part of an event, with the data sets of a step that is done."""
        dag, _, step = event.job.name.partition(".")
        done = dag in DAG_LABELS and event.eventType is RunState.COMPLETE
        flow = self._flows.get(step, _NOTHING) if done else _NOTHING
        return RunEvent(
            eventType=event.eventType,
            eventTime=event.eventTime,
            run=Run(event.run.runId, {**_only(event.run.facets, RUN_FACETS), **_parent(event)}),
            job=Job(event.job.namespace, event.job.name, _only(event.job.facets, JOB_FACETS)),
            inputs=[
                InputDataset(*self._place_and_name(data_set), facets=self._facets(data_set)) for data_set in flow.reads
            ],
            outputs=[
                OutputDataset(*self._place_and_name(made.data_set), facets=self._facets(made.data_set, made.origins))
                for made in flow.makes
            ],
            producer=event.producer,
        )

    def _place_and_name(self, data_set: lineage.DataSet) -> tuple[str, str]:
        return self._namespaces.get(data_set.place, data_set.place), data_set.name

    def _facets(self, data_set: lineage.DataSet, origins: lineage.Origins | None = None) -> dict[str, DatasetFacet]:
        facets: dict[str, DatasetFacet] = {}
        if data_set.columns:
            fields = [schema_dataset.SchemaDatasetFacetFields(name=name) for name in data_set.columns]
            facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
        if origins:
            found = {
                name: column_lineage_dataset.Fields(inputFields=[self._origin(origin) for origin in places])
                for name, places in origins.items()
            }
            facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(fields=found)
        return facets

    def _origin(self, origin: lineage.Origin) -> column_lineage_dataset.InputField:
        subtype = "IDENTITY" if origin.same else "TRANSFORMATION"
        how = column_lineage_dataset.Transformation(type="DIRECT", subtype=subtype)
        return column_lineage_dataset.InputField(*self._place_and_name(origin.data_set), origin.column, [how])


def _levels(options: object) -> Iterator[dict[str, Any]]:
    """Return options and those in them: a transport may have others in it."""
    if isinstance(options, dict):
        yield options
    inner = options.values() if isinstance(options, dict) else options if isinstance(options, list) else ()
    for option in inner:
        yield from _levels(option)


def _is_open(options: Mapping[str, Any]) -> bool:
    """Return whether a transport would send without TLS, or to a server whose certificate is not checked."""
    address = str(options.get("url") or "")
    unchecked = options.get("verify") is False and not is_local(urlsplit(address).hostname or "elsewhere")
    return is_plain_address(address) or unchecked


def _parent(event: RunEvent) -> dict[str, RunFacet]:
    """Return which run a step belongs to, without what a user may have written of it when triggering the run."""
    parent = (event.run.facets or {}).get("parent")
    if "." not in event.job.name or not isinstance(parent, parent_run.ParentRunFacet):
        return {}
    return {"parent": parent_run.ParentRunFacet(run=parent.run, job=parent.job)}


def _only(facets: Mapping[str, Any] | None, names: frozenset[str]) -> dict[str, Any]:
    return {name: facet for name, facet in (facets or {}).items() if name in names}
