"""The national person service (PU-tjänsten): is a person deceased, protected, or known by another number?

One operation of its contract is used, ``GetPersonsForProfile`` 5. ``messages`` writes a request, ``answers`` reads what
comes back, ``status`` is what is taken of it, ``certificates`` is how both sides show who they are, ``rest`` is the
moment before which nobody asks, and ``client`` puts them together: at most 500 persons a call.

Numbers, names and the texts of faults stay here. No log and no error of this package holds any of them.
"""

from waitlist.source.pu.certificates import Credentials
from waitlist.source.pu.client import Address, PersonServiceClient
from waitlist.source.pu.rest import FileRest, MemoryRest, Rest
from waitlist.source.pu.status import NameWords, PersonStatus, Reason

__all__ = [
    "Address",
    "Credentials",
    "FileRest",
    "MemoryRest",
    "NameWords",
    "PersonServiceClient",
    "PersonStatus",
    "Reason",
    "Rest",
]
