"""Stops Great Expectations from sending usage statistics and from writing log lines."""

import logging
import os


def quieten() -> None:
    """Call this before Great Expectations is imported.

    While it is imported it logs hundreds of lines; when an expectation raises it logs the exception's text, and
    drivers quote values in theirs. ``engine`` logs what a reader needs to know.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL + 1)
