"""The table of attacks: how many tries each attack made, and how many of them the product withstood.

``make attacks`` names a file in ``WAITLIST_ATTACK_TABLE``. Each attack appends one JSON line to it, from whichever
test process it runs in; ``python -m tests.support.attacks FILE`` prints the table.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

FILE = "WAITLIST_ATTACK_TABLE"


@dataclass(frozen=True)
class Attack:
    """The result of one attack.

    Attributes:
        name: what was attacked, and how.
        tries: how often.
        held: tries that the product withstood: refused, healed or reported as the guarantee says.
        lost: tries that got through, or after which something was missing.
        hung: tries that did not end in time.
    """

    name: str
    tries: int
    held: int
    lost: int
    hung: int


def record(name: str, *, tries: int, held: int, hung: int = 0) -> None:
    """Append an attack to the table, and fail when the product did not withstand a try.

    Raises:
        AssertionError: at least one try got through or hung.
    """
    attack = Attack(name, tries, held, tries - held - hung, hung)
    if file := os.environ.get(FILE):
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(attack), ensure_ascii=False) + "\n")
    assert tries > 0, f"{name}: nothing was tried"
    assert attack.lost == attack.hung == 0, f"{name}: {attack.lost} of {tries} tries got through, {hung} hung"


def read(file: Path) -> list[Attack]:
    """Return the attacks that were recorded, by name."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return sorted((Attack(**json.loads(line)) for line in lines), key=lambda attack: attack.name)


def main() -> int:
    """Print the table; fail when it is empty or the product did not withstand a try."""
    attacks = read(Path(sys.argv[1]))
    table = Table("attack", title="Attacks")
    for column in ("tries", "held", "lost", "hung"):
        table.add_column(column, justify="right")
    for attack in attacks:
        table.add_row(attack.name, *(f"{count:,}" for count in (attack.tries, attack.held, attack.lost, attack.hung)))
    Console().print(table)
    return int(not attacks or any(attack.lost or attack.hung for attack in attacks))


if __name__ == "__main__":
    sys.exit(main())
