"""The hand-off of a released batch: files for the receiver, in a folder or object store of their own.

Each file is a profile: a module with a function ``profile``. Another receiver is another module in ``PROFILES``, and
nothing else changes. ``writing`` streams the released rows through all profiles at once, proves that they are the rows
that were approved, and writes ``manifest.json`` last: a receiver waits for it.
"""

from collections.abc import Callable, Sequence
from typing import Final

from waitlist.release.handoff import appointments, booking_csv, millennium
from waitlist.release.handoff.content import Content, Handed

PROFILES: Final[Sequence[Callable[[Content], Handed]]] = (
    booking_csv.profile,
    appointments.profile,
    millennium.profile,
)
"""In the order of the manifest."""
