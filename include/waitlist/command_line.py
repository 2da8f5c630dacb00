"""Addresses of databases on a command line, which everybody on the machine can read: never with a password."""

import argparse
import os
import re
from collections.abc import Callable
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

STAGING_URL: Final = "WAITLIST_STAGING_URL"
"""The variable that a command takes the staging database from when it is not told another way."""

_ODBC_PASSWORD: Final = re.compile(r"(^|;)\s*(pwd|password)\s*=", re.IGNORECASE)
_SHOWN: Final = "everybody on this machine can read the password there"


def add_staging(parser: argparse.ArgumentParser) -> None:
    """Let a command be told its staging database; ``staging_url`` gives it."""
    parser.add_argument(
        "--staging",
        metavar="URL",
        type=url_without_password(f"put the URL into {STAGING_URL}"),
        help=f"SQLAlchemy URL of the staging database, without a password; default: {STAGING_URL} of the environment",
    )


def staging_url(parser: argparse.ArgumentParser, given: argparse.Namespace, known: str | None = None) -> str:
    """Return the URL from the command line, else a known one, else the environment's; exits where there is none."""
    url: str | None = given.staging or known or os.environ.get(STAGING_URL)
    if not url:
        parser.error(f"no staging database: set {STAGING_URL}, or --staging for a URL without a password")
    return url


def url_without_password(instead: str) -> Callable[[str], str]:
    """Return what argparse takes a URL with; ``instead`` says where a password belongs."""

    def url(text: str) -> str:
        try:
            found = make_url(text)
        except (ArgumentError, ValueError):
            raise argparse.ArgumentTypeError("this is no database URL") from None
        if found.password is not None or "password" in found.query:
            raise argparse.ArgumentTypeError(f"{_SHOWN}: {instead}")
        return text

    return url


def odbc_without_password(text: str) -> str:
    """Take an ODBC connection string without a password.

    Raises:
        argparse.ArgumentTypeError: it has one.
    """
    if _ODBC_PASSWORD.search(text):
        raise argparse.ArgumentTypeError(f"{_SHOWN}: name a data source of odbc.ini that has it")
    return text
