"""Database addresses on the command line: never with a password, since every user of the machine can read them."""

import argparse
import os
import re
from collections.abc import Callable
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

STAGING_URL: Final = "WAITLIST_STAGING_URL"
"""The environment variable with the staging database, used if the command line does not name one."""

_ODBC_PASSWORD: Final = re.compile(r"(^|;)\s*(pwd|password)\s*=", re.IGNORECASE)
_SHOWN: Final = "every user of this machine can read the password there"


def add_staging(parser: argparse.ArgumentParser) -> None:
    """Add the option for the staging database; read it with ``staging_url``."""
    parser.add_argument(
        "--staging",
        metavar="URL",
        type=url_without_password(f"put the URL into {STAGING_URL}"),
        help=f"SQLAlchemy URL of the staging database, without a password; default: {STAGING_URL} of the environment",
    )


def staging_url(parser: argparse.ArgumentParser, given: argparse.Namespace, known: str | None = None) -> str:
    """Return the URL from the command line, else a known one, else that of the environment; exit if there is no URL."""
    url: str | None = given.staging or known or os.environ.get(STAGING_URL)
    if not url:
        parser.error(f"no staging database: set {STAGING_URL}, or --staging for a URL without a password")
    return url


def url_without_password(instead: str) -> Callable[[str], str]:
    """Return a function with which argparse reads a URL; ``instead`` says where a password belongs."""

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
    """Accept an ODBC connection string without a password.

    Raises:
        argparse.ArgumentTypeError: the connection string has a password.
    """
    if _ODBC_PASSWORD.search(text):
        raise argparse.ArgumentTypeError(f"{_SHOWN}: name a data source of odbc.ini that has it")
    return text
