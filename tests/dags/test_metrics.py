"""The posts by unit and disposition reach a collector over OTLP, as Airflow is set to send its metrics."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from tests.support import posts, worklists

from waitlist import paths
from waitlist.judge.rules import Disposition

PATIENT = "Hemlig, Hanna"
PUBLISH = """
import sys
from pathlib import Path
from tests.support import worklists
from waitlist.reports.readiness import LATEST, read_readiness
from waitlist_airflow import metrics
site = worklists.open_site(Path(sys.argv[1]))
metrics.publish(read_readiness(site.store, LATEST, site.context.mappings))
"""


class Collector:
    """A collector of metrics: what was sent to it over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def gauges(self) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the last value of ``waitlist.posts`` by its tags."""
        found = {}
        for body in self.bodies:
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    for point in metric.gauge.data_points if metric.name.endswith("waitlist.posts") else ():
                        tags = sorted((tag.key, tag.value.string_value) for tag in point.attributes)
                        found[tuple(tags)] = point.as_double or float(point.as_int)
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    serving = threading.Thread(target=collector.server.serve_forever)
    serving.start()
    yield collector
    collector.server.shutdown()
    serving.join()
    collector.server.server_close()


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    site = worklists.site(tmp_path)
    site.stage(
        {"patient": PATIENT}, {}, {"kategori": "Diabetesmottagning"}, {"enhet_hsa_id": PATIENT}, {"enhet_hsa_id": None}
    )
    return tmp_path


def publish(folder: Path, collector: Collector, *, on: bool) -> None:
    """Send the metrics from a process of Airflow's, which ends then."""
    settings = {
        "AIRFLOW__METRICS__OTEL_ON": str(on),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server.server_address[1]}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "PYTHONPATH": os.pathsep.join([str(paths.PROJECT), *sys.path]),
    }
    subprocess.run([sys.executable, "-c", PUBLISH, folder], env={**os.environ, **settings}, check=True, timeout=120)


def test_every_disposition_of_every_unit_is_sent_also_those_without_posts(staged: Path, collector: Collector) -> None:
    publish(staged, collector, on=True)
    sent = collector.gauges()
    by_unit = {
        unit: {dict(tags)["disposition"]: posts for tags, posts in sent.items() if dict(tags)["unit"] == unit}
        for unit in (posts.UNIT, "unknown")
    }
    assert len(sent) == 2 * len(Disposition)
    assert set(by_unit[posts.UNIT]) == set(Disposition)
    assert {name: count for name, count in by_unit[posts.UNIT].items() if count} == {
        "migrate": 2, "move_to_sdv_list": 1,
    }  # fmt: skip
    assert sum(by_unit["unknown"].values()) == 2
    assert {dict(tags)["kind"] for tags in sent} == {"dry_run"}
    assert PATIENT.encode() not in b"".join(collector.bodies)
    assert worklists.person(0).encode() not in b"".join(collector.bodies)


def test_nothing_is_sent_where_metrics_are_off(staged: Path, collector: Collector) -> None:
    publish(staged, collector, on=False)
    assert collector.bodies == []
