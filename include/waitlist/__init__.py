"""From a PMO waitlist post to a Millennium booking request, without losing a patient.

The package is plain Python: it never imports Airflow. A post flows in one direction,
``pmo`` -> ``snapshot`` -> ``duplicates`` -> ``assess`` -> ``booking_request`` ->
``staging`` -> ``reconcile``, with ``quality`` looking on at the snapshot and at the
staged rows. ``pipeline`` names the steps that the DAGs wire together.
"""
