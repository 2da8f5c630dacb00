"""The folders of the project's own files."""

from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
MAPPINGS: Final = PROJECT / "include" / "mappings"
EXPECTATIONS: Final = PROJECT / "expectations"
SQL: Final = PROJECT / "sql"
