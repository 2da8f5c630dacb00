"""Turns OpenLineage off where its events would leave Airflow as they are (``waitlist_airflow.lineage`` says why).

Every process of Airflow imports this module before the provider's own plugin, so it imports little.
"""

import logging
import os
from typing import Final

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowConfigException

TRANSPORT: Final = "waitlist_airflow.lineage.Lineage"
SECTION: Final = "openlineage"

log = logging.getLogger(__name__)


def close() -> bool:
    """Turn OpenLineage off, unless it is set up with the transport that holds back what must not be known.

    Returns:
        whether events are sent.
    """
    if not _is_on():
        return False
    if _is_ours():
        # At a finer level the client writes whole events to the task's log.
        os.environ.setdefault("OPENLINEAGE_CLIENT_LOGGING", "INFO")
        return True
    os.environ["AIRFLOW__OPENLINEAGE__DISABLED"] = "True"
    log.warning(
        "OpenLineage is off: set [openlineage] transport to %s, with the catalogue's own transport in it "
        "(docs/deployment.md), and neither config_path nor config_conn_id",
        TRANSPORT,
    )
    return False


def _is_on() -> bool:
    """Return whether the provider would send events: what it asks itself, without its cache."""
    if conf.getboolean(SECTION, "disabled", fallback=False):
        return False
    return (
        any(conf.get(SECTION, name, fallback="") for name in ("transport", "config_path", "config_conn_id"))
        or any(os.environ.get(name) for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"))
        or any(name.startswith("OPENLINEAGE__TRANSPORT") for name in os.environ)
    )


def _is_ours() -> bool:
    if any(conf.get(SECTION, name, fallback="") for name in ("config_path", "config_conn_id")):
        return False
    try:
        transport = conf.getjson(SECTION, "transport", fallback={})
    except (ValueError, AirflowConfigException):
        return False
    return isinstance(transport, dict) and transport.get("type") == TRANSPORT
