"""The content of the dashboard's pages, as frozen dataclasses read from the staging schema; no Airflow and no web.

A module here is a page or a part of several. Statements of more than a line are in ``sql/dashboard``. A page is read
on one connection, as of one moment, from batches that count for readers.
"""
