"""What the dashboard's pages say, as frozen dataclasses read from the staging schema; no Airflow and no web.

A module here is a page or a part of several. Statements of more than a line lie in ``sql/dashboard``. What a page
shows is read on one connection, as of one moment, and of batches that count for readers.
"""
