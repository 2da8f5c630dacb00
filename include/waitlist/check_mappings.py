"""``python -m waitlist.check_mappings [FOLDER]``: every fault of the mapping files, as a run would report them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from waitlist.deployment import MappingFiles
from waitlist.exceptions import SettingsError
from waitlist.facts.readers import read_readers
from waitlist.reports.risks import read_register
from waitlist.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each fault; return 1 where there is a fault, else 0."""
    parser = argparse.ArgumentParser(prog="python -m waitlist.check_mappings", description="Check the mapping files.")
    parser.add_argument("folder", nargs="?", type=Path, help="default: WAITLIST_MAPPINGS_DIR")
    given = parser.parse_args(arguments)
    try:
        folder = given.folder or Settings.read().mappings_dir
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = MappingFiles.read(folder)
    # No run reads these, so they are no part of the facts.
    _, of_readers = read_readers(folder)
    _, of_risks = read_register(folder)
    if faults := (*found.faults, *of_readers, *of_risks):
        sys.stderr.write("".join(f"{line}\n" for line in (f"at fault in {folder}:", *faults)))
        return 1
    sys.stdout.write(f"no fault in the mapping files of {folder}: {len(found.mappings.units)} units\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
