"""The readiness dashboard: server-rendered pages inside Airflow, and the same as JSON.

How a page is made:

1. What it says is a frozen dataclass in ``waitlist.reports.pages`` (no Airflow, no web), read from the
   staging schema by a function that takes a connection and the mappings. Its SQL lies in ``sql/dashboard``.
2. A module here has a ``Pages`` and on it a function that FastAPI calls with what it needs (``SiteDep``, ``ReaderDep``,
   path and query) and that returns the dataclass::

       pages = Pages()

       @pages.page("/korning", api="/api/korning", template="batch.html", nav="Körning")
       def batch(site: SiteDep, batch_id: str = "latest") -> BatchPage:
           with site.reading("reading a batch") as connection:
               return read_batch_page(connection, site.mappings, batch_id)

   That makes ``/migrering/korning`` of the template, which has the dataclass as ``page``, and
   ``/migrering/api/korning`` of ``to_plain``: dates as ISO text, keys as the dataclass names them.
3. ``app.py`` lists the module. ``nav`` puts the page into the navigation, in the order of that list.
4. The template extends ``base.html``, fills ``title`` and ``content``, and takes charts, tables, notices, sorting and
   paging from ``macros.html``. Links are relative: ``{{ root }}korning``. The same question with something changed is
   ``{{ with_query(sida=2) }}``.
5. ``tests/e2e/test_dashboard.py`` gets a row: the page is then looked at by axe in both sizes and themes.

Access: everything needs a login, and the right to read the runs of ``waitlist_dry_run``. ``Reader.may_see_persons`` and
``Reader.leads`` are rights beyond that; ``require`` refuses those who lack one. Errors: raise ``NotFoundError`` for
what is not there, ``HTTPException`` for anything else; a ``WaitlistError`` becomes a page that does not quote it, and
any other error one that says nothing at all.
"""
