"""The steps of a run, in the order in which the DAGs wire them; each is idempotent and passes references only.

A step takes and returns small frozen records (ids, file names, counts), never rows: those go through the
snapshot and the staging schema. ``Pipeline`` knows neither Airflow nor the clock.
"""

import logging

log = logging.getLogger(__name__)
