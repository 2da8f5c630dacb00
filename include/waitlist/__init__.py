"""Convert posts of PMO's waiting list to booking requests for Millennium, without losing a patient.

The package is plain Python and never imports Airflow. A post passes these modules in order: ``source.pmo``,
``source.snapshot``, ``judge.duplicates``, ``judge.assess``, ``judge.booking_request``, ``staging.loading`` and
``staging.reconcile``. ``quality`` checks the snapshot and the staged rows. ``steps`` has the steps that the DAGs call.
"""

__version__ = "0.2.0"
