"""Errors that a caller can act on; every message names the file, step or setting, and has no personal data."""


class WaitlistError(Exception):
    """Base of every error that this package raises on purpose."""


def reason_of(error: OSError) -> str:
    """Return the system's words for an error, without the path that it names."""
    return error.strerror or type(error).__name__


class SettingsError(WaitlistError):
    """A setting or a DAG param is missing or out of range: correct it and rerun."""


class MappingError(WaitlistError):
    """Mapping files are at fault; the message lists every fault with ``file:line``."""


class SourceError(WaitlistError):
    """PMO could not be read: driver, password, connection, query or counts."""


class SourceRefusedError(SourceError):
    """A retry would fail too: the driver, the login, the query or the data that it returns is at fault."""


class SchemaDriftError(SourceError):
    """PMO's query no longer returns the columns of the contract, or breaks its types."""


class WindowClosedError(SourceError):
    """PMO may not be read at this hour: clear the step when its window is open again."""


class PersonServiceError(WaitlistError):
    """The person service did not answer, or not as agreed; nobody asks it again for some minutes."""


class PersonServiceRestError(PersonServiceError):
    """The person service failed some minutes ago and may not be asked yet: clear the step after the moment named."""


class PersonServiceSetupError(PersonServiceError):
    """Nothing was asked: the address, a certificate or a number is at fault. Correct it and rerun."""


class SnapshotError(WaitlistError):
    """A snapshot is missing, damaged or not the one that was written."""


class OutdatedFileError(SnapshotError):
    """The inputs of a file of a batch were written again: clear the step that writes the file, and what follows."""


class SuiteError(WaitlistError):
    """An expectation suite is broken, incomplete or could not be evaluated."""


class ContractBrokenError(WaitlistError):
    """The extract failed the contract suite: the run must stop."""


class StagingError(WaitlistError):
    """The staging database refused a change, or a batch is in a state that forbids it."""


class RefusedError(StagingError):
    """A retry would be refused too: the batch's state, its rows or a missing reason forbid the change."""


class ReasonError(RefusedError):
    """A decision lacks the written reason that it takes: it can be taken again with one."""


class ReconciliationError(WaitlistError):
    """Source, snapshot and staging do not add up; the message names the post ids."""


class HandOffError(WaitlistError):
    """A hand-off cannot be written or removed: its folder or store did not answer, or is not as it should be."""


class ReceiptError(WaitlistError):
    """The folder of receipts cannot be read, or a file in it cannot be moved; a rerun goes on from there."""


class WorkListError(WaitlistError):
    """Work lists cannot be written, because of the folder or of posts that do not add up; no partial list remains."""
