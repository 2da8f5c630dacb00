"""PMO's waiting list, read over ODBC.

``query`` builds the SQL, ``connection`` opens the database, ``contract`` checks the result, and ``source`` divides the
reading into partitions and chunks.
"""

from waitlist.source.pmo.query import Selection
from waitlist.source.pmo.source import PmoSource

__all__ = ["PmoSource", "Selection"]
