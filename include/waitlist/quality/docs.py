"""Writes Data Docs for a batch: pages for engineers, with counts and without a single value.

Great Expectations renders each suite's table from its expectations and outcomes, and this module adds the counts.
Its own site builder is not used: its pages fetch scripts, styles and fonts from servers on the internet. A
hospital's network does not reach those servers, and a page about patients must not call them. The page written here
contains its own style and forbids the browser to load anything.
"""

import datetime as dt
import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from waitlist.exceptions import SuiteError
from waitlist.quality.quiet import quieten
from waitlist.quality.suites import Expectation, Looks, Suite
from waitlist.results import Outcome, QualityResult
from waitlist.swedish.words import OUTCOME_LABELS, PERSONS_NOT_ASKED, PERSONS_SUITE_NOT_APPLICABLE, SEVERITY_LABELS

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

LOOKS: Final[Mapping[Looks, str]] = {
    Looks.SNAPSHOT: "utdraget ur PMO",
    Looks.STAGED: "bokningsbegäran i Millenniums mellanlager",
    Looks.ANSWERS: "Personuppgiftstjänstens svar om patienterna i utdraget",
}
_HEADS: Final = (
    "Utfall",
    "Krav",
    "Kolumn",
    "Allvar",
    "Granskade",
    "Avviker",
    "Andel",
    "Ska uppfyllas av",
)
_ICONS: Final[Mapping[Outcome, str]] = {
    Outcome.PASSED: "fa-check-circle text-success",
    Outcome.FAILED: "fa-times text-danger",
    Outcome.NOT_APPLICABLE: "fa-minus text-muted",
    Outcome.ERROR: "fa-exclamation-triangle text-warning",
}
_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1b1b1b; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { border-bottom: 1px solid #ccc; padding: .4rem .6rem; text-align: left; vertical-align: top; }
td.number, .table td:nth-child(n+5) { text-align: right; white-space: nowrap; }
small { color: #595959; overflow-wrap: anywhere; }
.fas { font-style: normal; font-weight: bold; }
.fa-check-circle::before { content: "\\2713"; } .fa-times::before { content: "\\2717"; }
.fa-exclamation-triangle::before { content: "!"; } .fa-minus::before { content: "\\2013"; }
.text-success { color: #186a27; } .text-danger { color: #a61b1b; } .text-warning { color: #8a5a00; }
"""


def write_data_docs(
    folder: Path, batch_id: str, as_of: dt.date, suites: Iterable[Suite], results: Sequence[QualityResult]
) -> Path:
    """Write a batch's site and return its first page; the site of an earlier run of the batch is replaced.

    Args:
        folder: the folder of the sites of all batches; created when it is missing.
        batch_id: the batch; its site's folder is named by it.
        as_of: the batch's as-of date.
        suites: every suite that applies; one that was not run has no page.
        results: the results of all suites in one list.

    Raises:
        SuiteError: the results are not exactly those of a suite's present expectations.
    """
    found: dict[str, dict[tuple[str, str], QualityResult]] = {}
    for result in results:
        found.setdefault(result.suite, {})[result.expectation, result.column] = result
    applying = tuple(suites)
    run = [suite for suite in applying if suite.name in found]
    asked = any(suite.looks is Looks.ANSWERS for suite in applying)
    for suite in run:
        if found[suite.name].keys() != {expectation.key for expectation in suite.expectations}:
            raise SuiteError(f"{suite.name}: the results do not match its expectations; run the suite again")
    folder.mkdir(parents=True, exist_ok=True)
    site = folder / _folder_name(batch_id)
    aside = folder / f".aside-{site.name}"
    # An earlier attempt that was killed may have left this folder.
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        note = "" if asked else f"<p>{PERSONS_NOT_ASKED}. {PERSONS_SUITE_NOT_APPLICABLE}</p>"
        pages = {"index": _index(batch_id, as_of, run, found, note)}
        pages |= {suite.name: _suite_page(batch_id, as_of, suite, found[suite.name]) for suite in run}
        for name, page in pages.items():
            (aside / f"{name}.html").write_text(page, encoding="utf-8")
        shutil.rmtree(site, ignore_errors=True)
        aside.rename(site)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return site / "index.html"


def _folder_name(batch_id: str) -> str:
    """Return a folder name that every file system accepts and that no other batch has."""
    plain = re.sub(r"[^A-Za-z0-9._+-]", "_", batch_id)
    return plain if plain == batch_id else f"{plain}-{hashlib.sha256(batch_id.encode()).hexdigest()[:8]}"


def _index(
    batch_id: str,
    as_of: dt.date,
    suites: Sequence[Suite],
    found: Mapping[str, Mapping[tuple[str, str], QualityResult]],
    note: str,
) -> str:
    rows = []
    for suite in suites:
        outcomes = [result.outcome for result in found[suite.name].values()]
        counts = "".join(f'<td class="number">{_number(outcomes.count(outcome))}</td>' for outcome in Outcome)
        link = f'<a href="{suite.name}.html">{suite.name}</a>'
        rows.append(f"<tr><td>{link}</td><td>{escape(suite.text)}</td>{counts}</tr>")
    heads = "".join(
        f"<th>{head}</th>" for head in ("Kontroll", "Vad den gäller", *(OUTCOME_LABELS[outcome] for outcome in Outcome))
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return _page("Kvalitetskontroller", batch_id, as_of, table + note)


def _suite_page(batch_id: str, as_of: dt.date, suite: Suite, found: Mapping[tuple[str, str], QualityResult]) -> str:
    results = [found[expectation.key] for expectation in suite.expectations]
    introduction = f"<p>{escape(suite.text)} Kontrollen granskar {LOOKS[suite.looks]}.</p>"
    back = '<p><a href="index.html">Alla kontroller</a></p>'
    return _page(suite.name, batch_id, as_of, introduction + _table(suite.expectations, results) + back)


def _page(title: str, batch_id: str, as_of: dt.date, body: str) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="sv"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>Körning {escape(batch_id)}, läget {as_of.isoformat()}.</p>{body}</body></html>\n"
    )


def _table(expectations: Sequence[Expectation], results: Sequence[QualityResult]) -> str:
    """Return Great Expectations' table of the results, with the counts beside it in Swedish."""
    quieten()
    from great_expectations.render.renderer.content_block.validation_results_table_content_block import (  # noqa: PLC0415
        ValidationResultsTableContentBlockRenderer,
    )
    from great_expectations.render.view.view import DefaultJinjaComponentView  # noqa: PLC0415

    import waitlist.quality.expectations  # noqa: F401, PLC0415 - registers the project's own

    validated = [
        _validation_result(expectation, result) for expectation, result in zip(expectations, results, strict=True)
    ]
    block: dict[str, Any] = ValidationResultsTableContentBlockRenderer.render(validated).to_json_dict()  # type: ignore[union-attr]
    for row, expectation, result in zip(block["table"], expectations, results, strict=True):
        row[0] = f'<i class="fas {_ICONS[result.outcome]}"></i> {OUTCOME_LABELS[result.outcome]}'
        row[2:] = [
            escape(expectation.column),
            SEVERITY_LABELS[result.severity],
            _number(result.evaluated),
            _number(result.unexpected),
            _share(result.unexpected, result.evaluated),
            _share(result.threshold, 1),
        ]
    block["header_row"] = list(_HEADS)
    block["header_row_options"] = {}
    place = {"index": 1}
    document = {"content_block": block, "section": {}, "section_loop": place, "content_block_loop": place}
    return str(DefaultJinjaComponentView().render(document))  # type: ignore[no-untyped-call]


def _validation_result(expectation: Expectation, result: QualityResult) -> "ExpectationValidationResult":
    """Return a Great Expectations validation result that has the outcome and nothing else."""
    from great_expectations.core import ExpectationValidationResult  # noqa: PLC0415
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration  # noqa: PLC0415

    return ExpectationValidationResult(
        success=result.outcome is Outcome.PASSED,
        expectation_config=ExpectationConfiguration(
            type=expectation.type,
            kwargs=dict(expectation.kwargs),
            description=f"{escape(expectation.text)}<br><small>{escape(expectation.name)}</small>",
        ),
        result={},
        exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
    )


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NO-BREAK SPACE}")


def _share(part: float, whole: float) -> str:
    """Return a percentage in Swedish; it is 0 % only for no rows, and 100 % only for all rows."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.01:
        return "under\N{NO-BREAK SPACE}0,01\N{NO-BREAK SPACE}%"
    if 99.99 < percent < 100:
        return "över\N{NO-BREAK SPACE}99,99\N{NO-BREAK SPACE}%"
    return f"{percent:.2f}".rstrip("0").rstrip(".").replace(".", ",") + "\N{NO-BREAK SPACE}%"
