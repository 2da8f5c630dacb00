"""Look for phrases that stop an international reader: ``phrases.csv`` names them, and what to write instead.

Looks at documents, at docstrings and comments of Python, and at comments of SQL and shell scripts. In Python it also
looks for a loop variable ``each`` and for one-word private helpers whose name says nothing.

    python scripts/check_english.py [FILE...]

Prints ``file:line: phrase: instead`` for each fault and ends with 1 when there is one.
"""

import ast
import csv
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PHRASES: Final = Path(__file__).with_name("phrases.csv")
# Made by a program, or the list itself.
EXEMPT: Final = ("scripts/phrases.csv", "requirements", "docker/airflow/requirements")
VAGUE: Final = frozenset({"_named", "_rows", "_place", "_plain", "_told", "_said", "_ask", "_made", "_taken"})
_CODE: Final = re.compile(r"`[^`]*`|``.*?``|\]\([^)]*\)|https?://\S+")


def phrases() -> list[tuple[re.Pattern[str], str]]:
    """Return the patterns and what to write instead."""
    with PHRASES.open(encoding="utf-8", newline="") as file:
        return [(re.compile(row["pattern"]), row["instead"]) for row in csv.DictReader(file)]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Give the lines of prose in a file, each with its number."""
    read = {".py": _python, ".sql": _sql, ".sh": _shell, ".md": _markdown}[path.suffix]
    return read(path.read_text(encoding="utf-8"))


def _sql(content: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(content.splitlines(), 1):
        if "--" in line:
            yield number, line.partition("--")[2]


def _shell(content: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(content.splitlines(), 1):
        if re.match(r"\s*#(?!!)", line):
            yield number, line.strip().lstrip("# ")


def _markdown(content: str) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(content.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, _CODE.sub("`", line)


def _python(content: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in ast.walk(ast.parse(content)):
        # A class's attribute may have a docstring too: any expression that is nothing but a text.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for offset, line in enumerate(node.value.value.splitlines()):
                yield node.lineno + offset, _CODE.sub("`", line.strip())


def names(path: Path) -> Iterator[tuple[int, str, str]]:
    """Give the names in Python code that say nothing, each with its line and what to write instead."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        targets = []
        if isinstance(node, ast.For | ast.comprehension):
            targets = [name for name in ast.walk(node.target) if isinstance(name, ast.Name)]
        for name in targets:
            if name.id == "each":
                yield name.lineno, "each", "name the thing"
        if isinstance(node, ast.FunctionDef) and node.name in VAGUE:
            yield node.lineno, node.name, "say what it returns"


def faults(path: Path) -> list[str]:
    """Return the faults of one file, by line."""
    found = []
    for line, text in texts(path):
        for pattern, instead in phrases():
            found += [(line, hit.group().strip(), instead) for hit in pattern.finditer(text)]
    if path.suffix == ".py":
        found += names(path)
    place = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    return [f"{place}:{line}: {phrase!r}: {instead}" for line, phrase, instead in sorted(found)]


def files() -> list[Path]:
    """Return the files of the project that hold prose."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - git as installed
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / path for path in listed.stdout.split("\0") if path and not path.startswith(EXEMPT)]
    return [path for path in paths if path.is_file() and path.suffix in {".py", ".sql", ".sh", ".md"}]


def main() -> int:
    """Print every fault; return 1 when there is one."""
    found = [fault for path in [Path(name).resolve() for name in sys.argv[1:]] or files() for fault in faults(path)]
    print("\n".join(found) or "plain English: no phrase of phrases.csv found")  # noqa: T201 - a command line
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
