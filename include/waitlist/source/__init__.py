"""The sources of posts (PMO over ODBC, or the snapshot of an earlier batch), and the files of a batch."""
