"""Write the tables of ``docs/rules.md`` that the rules declare: python scripts/rule_docs.py.

The tables of rules, of dispositions and of Swedish texts are made from ``waitlist.judge.rules`` and
``waitlist.swedish.words``; the text around them is written by hand.
"""

import inspect
from typing import Final

from waitlist.judge.rules import DISPOSITIONS, RAISED, RULES, Code, Disposition, Rule
from waitlist.paths import PROJECT
from waitlist.swedish.words import DISPOSITION_LABELS, RULE_TEXTS

DOCUMENT: Final = PROJECT / "docs" / "rules.md"
_SEVERITY_NOTES: Final = {Code.STRADDLES_CUTOFF: " (policy `review`: `blocks`)"}
_ANYTHING_ELSE: Final = "anything else that blocks (a raised warning; `STRADDLES_CUTOFF` under the policy `review`)"


def rules() -> list[str]:
    """Return the rows of the table of rules."""
    return [_rule(rule) for rule in RULES.values()]


def _rule(rule: Rule) -> str:
    when = " ".join((inspect.getdoc(rule.predicate) or "").split())
    severity = f"`{rule.severity}`{_SEVERITY_NOTES.get(rule.code, '')}"
    return _row(f"`{rule.code}`", rule.chapter or "-", when, severity)


def dispositions() -> list[str]:
    """Return the rows of the table of dispositions, the first one that holds first."""
    last = max(place for place, (disposition, _) in enumerate(DISPOSITIONS) if disposition is RAISED)
    rows = []
    for place, (disposition, codes) in enumerate(DISPOSITIONS):
        when = ", ".join(f"`{code}`" for code in codes)
        if place == last:
            when += f", {_ANYTHING_ELSE}"
        rows.append(_row(f"`{disposition}`", DISPOSITION_LABELS[disposition], when))
    return [*rows, _row(f"`{Disposition.MIGRATE}`", DISPOSITION_LABELS[Disposition.MIGRATE], "none of the above")]


def texts() -> list[str]:
    """Return the rows of the table of Swedish texts."""
    return [_row(f"`{code}`", text.label, text.with_detail or text.action) for code, text in RULE_TEXTS.items()]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


TABLES: Final = {
    "| code | chapter | fires when | severity |": rules,
    "| disposition | Swedish label | when |": dispositions,
    "| code | label | text |": texts,
}


def written(document: str) -> str:
    """Return the document with its tables as the rules declare them.

    Raises:
        ValueError: a table has no head in the document.
    """
    lines = document.split("\n")
    for head, rows in TABLES.items():
        begin = lines.index(head) + 2
        end = next(place for place in range(begin, len(lines)) if not lines[place].startswith("|"))
        lines[begin:end] = rows()
    return "\n".join(lines)


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
