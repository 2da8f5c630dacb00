"""A responder for tests that speaks TDS 7.4, so that the real driver for SQL Server can be tried without a server."""
