"""PMO's waiting list, read over ODBC.

``query`` is what is asked, ``connection`` of whom, ``contract`` what must come back, ``source`` how much at
a time.
"""

from waitlist.source.pmo.query import Selection
from waitlist.source.pmo.source import PmoSource

__all__ = ["PmoSource", "Selection"]
