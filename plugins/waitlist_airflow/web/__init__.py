"""The readiness dashboard: server-rendered pages inside Airflow, and the same as JSON.

How a page is made:

1. Its content is a frozen dataclass in ``waitlist.reports.pages`` (no Airflow, no web), read from the
   staging schema by a function that takes a connection and the mappings. Its SQL is in ``sql/dashboard``.
2. A module here has a ``Pages`` and registers a function on it. FastAPI calls the function with its parameters
   (``SiteDep``, ``ReaderDep``, path and query), and it returns the dataclass::

       pages = Pages()

       @pages.page("/regler", api="/api/regler", need=Need.EVERY_UNIT, template="catalogue.html", nav="Regler")
       def catalogue(site: SiteDep) -> Catalogue:
           return read_catalogue(site.store, site.mappings)

   That makes ``/migrering/regler`` of the template, which has the dataclass as ``page``, and ``/migrering/api/regler``
   of ``to_plain``: dates as ISO text, keys as the dataclass names them. A page that reads by several statements does
   so ``with site.reading("reading the overview") as connection``, as of one moment.
3. ``app.py`` lists the module. ``nav`` puts the page into the navigation, in the order of that list.
4. The template extends ``base.html``, fills ``title`` and ``content``, and takes charts, tables, notices, sorting and
   paging from ``macros.html``. Links are relative: ``{{ root }}regler``. The same question with something changed is
   ``{{ with_query(sida=2) }}``.
5. ``tests/e2e/test_dashboard.py`` gets a row: the page is then looked at by axe in both sizes and themes.

Access: everything needs a login, and each page declares with ``need`` what a reader must be allowed besides. The app
cannot be made while a route declares nothing. ``waitlist.access`` decides, and a reader without the right is refused
before the function of the page is called; ``ReaderDep`` is the reader, for a page that shows each reader a part.

Errors: raise ``reading.UnknownError`` for a unit or batch that is not there, ``HTTPException`` for anything else; a
``WaitlistError`` becomes a page that does not quote it, and any other error one that says nothing.
"""
