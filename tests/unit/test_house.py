"""The house's own rules: rings, headers, and documents that say what is there."""

import ast
import inspect
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from scripts import rule_docs

import waitlist
from waitlist import exceptions
from waitlist.judge.rules import DISPOSITIONS, RULES, Disposition, Severity
from waitlist.paths import PROJECT
from waitlist.settings import AccountSettings, ConnectionSettings, PersonServiceSettings, RuleSettings, Settings
from waitlist.swedish.words import DISPOSITION_LABELS, RULE_TEXTS

DAGS = sorted((PROJECT / "dags").glob("*.py"))
INNER_RING = sorted((PROJECT / "include" / "waitlist").rglob("*.py"))
SQL = sorted((PROJECT / "sql").rglob("*.sql"))
LOCKS = ("requirements.txt", "requirements-dev.txt", "docker/airflow/requirements.txt")
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


def name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def read(path: str | Path) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def files_of_the_project() -> list[Path]:
    """Every file that is, or is about to be, in git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [PROJECT / path for path in listed.stdout.split("\0") if path]
    return [path for path in paths if path.is_file()]


def targets() -> dict[str, str]:
    """The Makefile's targets and what their descriptions say."""
    found = re.findall(r"^([a-z-]+):(?:.*?## (.*))?$", read("Makefile"), re.MULTILINE)
    return dict(found)


def pins(lock: str) -> dict[str, set[str]]:
    """A package may have several versions, one for each Python."""
    pinned: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", read(lock), re.MULTILINE):
        pinned.setdefault(canonicalize_name(package), set()).add(version)
    return pinned


def pythons() -> list[str]:
    """The Pythons that the project supports, as 3.11."""
    supported = SpecifierSet(tomllib.loads(read("pyproject.toml"))["project"]["requires-python"])
    return [f"3.{minor}" for minor in range(100) if f"3.{minor}" in supported]


def documented_variables() -> dict[str, str]:
    """The variables of docs/settings.md and their defaults."""
    return dict(re.findall(r"^\| `(WAITLIST_[A-Z_]+)` \| `?(.*?)`? \|", read("docs/settings.md"), re.MULTILINE))


def texts_of_the_code() -> str:
    """Every text in the two inner rings, a line each; of one with values in it the parts between them."""
    files = [*INNER_RING, *sorted((PROJECT / "plugins").rglob("*.py"))]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def variables_of_the_settings() -> dict[str, str]:
    """The variables that the code reads and their defaults, as a reader would write them."""
    groups = (RuleSettings, ConnectionSettings, PersonServiceSettings, AccountSettings, Settings)
    fields = {field: info for group in groups for field, info in group.model_fields.items()}
    del fields["rules"], fields["connections"], fields["person_service"], fields["accounts"]
    variables = {}
    for field, info in fields.items():
        default = info.default
        if default is None:
            default = "empty"
        elif isinstance(default, bool):
            default = str(default).lower()
        elif isinstance(default, Path):
            default = name(default)
        variables[f"WAITLIST_{field.upper()}"] = str(default)
    return variables


class TestRings:
    @pytest.mark.parametrize("path", INNER_RING, ids=name)
    def test_the_logic_never_imports_airflow_or_an_outer_ring(self, path):
        imported = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add((node.module or "").split(".")[0])
        assert not imported & {"airflow", "waitlist_airflow", "dags", "plugins"}

    @pytest.mark.parametrize("path", DAGS, ids=name)
    def test_a_dag_file_is_short(self, path):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 120

    def test_every_program_reaches_staging_within_the_settings_for_connections(self):
        without = [
            f"{name(path)}:{call.lineno}"
            for path in [*INNER_RING, *sorted((PROJECT / "plugins").rglob("*.py"))]
            for call in ast.walk(ast.parse(read(path)))
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "StagingStore"
            if "connections" not in {keyword.arg for keyword in call.keywords}
        ]
        assert without == [], "WAITLIST_WITHOUT_TLS and the time limits would not count there"


class TestSql:
    @pytest.mark.parametrize("path", SQL, ids=name)
    def test_begins_with_a_comment_that_says_what_it_is_for(self, path):
        first = path.read_text(encoding="utf-8").lstrip().splitlines()[0]
        assert re.match(r"(--|/\*)\s*(?!Parameters)\w", first)

    @pytest.mark.parametrize("path", SQL, ids=name)
    def test_names_its_parameters_in_its_header(self, path):
        text = path.read_text(encoding="utf-8")
        header = text.partition("Parameters")[2].partition("\nSELECT")[0]
        bound = set(re.findall(r"(?<![:\w]):([a-z_]+)", re.sub(r"--.*", "", text)))
        assert [parameter for parameter in bound if not re.search(rf"\b{parameter}\b", header)] == []


class TestAddresses:
    def test_no_file_names_a_package_index(self):
        index = re.compile(
            r"pypi\.(?:org|python)|pythonhosted\.org|artifactory|/simple/|index-url[ =]+\S*://|find-links",
            re.IGNORECASE,
        )
        naming = [
            name(path)
            for path in files_of_the_project()
            if path != Path(__file__) and index.search(path.read_text(encoding="utf-8", errors="replace"))
        ]
        assert naming == []

    def test_there_is_no_lock_that_would_name_one(self):
        assert "uv.lock" not in {path.name for path in files_of_the_project()}


class TestLocks:
    @pytest.mark.parametrize("lock", LOCKS)
    def test_every_package_is_pinned_by_hash(self, lock):
        entries = [entry for entry in re.split(r"\n(?=\S)", read(lock)) if not entry.startswith("#")]
        assert len(entries) == sum(map(len, pins(lock).values()))
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []

    @pytest.mark.parametrize(("lock", "group"), list(zip(LOCKS, (None, "dev", "docker"), strict=True)))
    def test_holds_what_the_project_asks_for(self, lock, group):
        project = tomllib.loads(read("pyproject.toml"))
        asked = project["project"]["dependencies"] + (project["dependency-groups"][group] if group else [])
        pinned = pins(lock)
        unmet = []
        for requirement in map(Requirement, asked):
            versions = pinned.get(canonicalize_name(requirement.name), set())
            if not versions or not all(requirement.specifier.contains(version) for version in versions):
                unmet.append(str(requirement))
        assert unmet == []

    @pytest.mark.parametrize("python", pythons())
    @pytest.mark.parametrize("lock", LOCKS)
    def test_pins_a_package_once_for_each_python(self, lock, python):
        environment = {"python_version": python, "python_full_version": f"{python}.7"}
        pinned = [
            canonicalize_name(requirement.name)
            for line in re.findall(r"^([^#\s].*?) \\$", read(lock), re.MULTILINE)
            if (requirement := Requirement(line)).marker is None or requirement.marker.evaluate(environment)
        ]
        assert len(pinned) == len(set(pinned))
        assert {"apache-airflow", "numpy", "pyarrow"} <= set(pinned)

    @pytest.mark.parametrize("lock", LOCKS)
    def test_is_made_for_the_lowest_python_on_whichever_it_was_made(self, lock):
        assert f" --universal --python-version {pythons()[0]} " in read(lock).splitlines()[1]

    @pytest.mark.parametrize("lock", LOCKS[1:])
    def test_agrees_with_what_runs(self, lock):
        other = pins(lock)
        assert {package: other.get(package) for package in pins("requirements.txt")} == pins("requirements.txt")


class TestCommands:
    def test_every_target_says_what_it_does(self):
        assert [target for target, description in targets().items() if not description] == []

    @pytest.mark.parametrize("path", DOCUMENTS, ids=name)
    def test_every_command_in_a_document_exists(self, path):
        commands = re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(commands) <= set(targets())

    def test_the_two_commands_are_in_the_readme(self):
        assert set(re.findall(r"^make ([a-z-]+)", read("README.md"), re.MULTILINE)) == {"demo", "test"}


class TestDocuments:
    @pytest.mark.parametrize("path", DOCUMENTS, ids=name)
    def test_every_range_of_pythons_is_the_projects(self, path):
        ranges = re.findall(r"Python\s+(3\.\d+)\s+(?:to|or|and)\s+(3\.\d+)", path.read_text(encoding="utf-8"))
        assert set(ranges) <= {(pythons()[0], pythons()[-1])}

    @pytest.mark.parametrize("path", DOCUMENTS, ids=name)
    def test_every_link_leads_somewhere(self, path):
        links = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8"))
        assert [link for link in links if not (path.parent / link).exists()] == []

    def test_the_version_is_the_one_of_the_readme_and_of_the_latest_dated_changes(self):
        version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
        assert version == waitlist.__version__
        dated = re.findall(r"^## \[([0-9.]+)\] - \d{4}-\d{2}-\d{2}$", read("CHANGELOG.md"), re.MULTILINE)
        assert version == dated[0]
        assert f"**Version {version}**" in read("README.md")

    def test_every_document_is_in_the_index(self):
        documents = {path.name for path in (PROJECT / "docs").glob("*.md")} - {"README.md"}
        assert documents - set(re.findall(r"\]\(([\w-]+\.md)\)", read("docs/README.md"))) == set()

    def test_every_decision_is_in_the_index(self):
        decisions = {path.name for path in (PROJECT / "docs" / "decisions").glob("[0-9]*.md")}
        assert decisions == set(re.findall(r"\(([0-9]{4}-[^)]+\.md)\)", read("docs/decisions/README.md")))

    def test_every_setting_is_documented_with_its_default(self):
        assert documented_variables() == variables_of_the_settings()

    def test_every_error_is_documented_with_what_to_do(self):
        errors = {error.__name__ for _, error in inspect.getmembers(exceptions, inspect.isclass)}
        rows = re.findall(r"^\| `(\w+)` \| (?:yes|no|-) \| .+ \| .* \| .* \|$", read("docs/errors.md"), re.MULTILINE)
        assert errors - set(rows) == set()

    def test_every_message_that_is_documented_is_one_of_the_code(self):
        rows = re.findall(r"^\| (\*.+?\*) \| ", read("docs/errors.md"), re.MULTILINE)
        parts = {part for row in rows for quoted in re.findall(r"\*(.+?)\*", row) for part in quoted.split(" ... ")}
        texts = texts_of_the_code()
        assert len(parts) > 10
        assert [part for part in sorted(parts - {"unexpected ..."}) if part not in texts] == []

    @pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
    def test_every_rule_is_documented_as_it_is(self, rule):
        rules = read("docs/rules.md")
        text = RULE_TEXTS[rule.code]
        assert re.search(
            rf"^\| `{rule.code}` \| {re.escape(rule.chapter or '-')} \| .* \| `{rule.severity}`", rules, re.MULTILINE
        )
        assert f"| `{rule.code}` | {text.label} | {text.with_detail or text.action} |" in rules

    def test_every_disposition_is_documented_in_the_order_that_decides(self):
        section = read("docs/rules.md").split("## Dispositions")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", section, re.MULTILINE)
        documented = [
            (value, tuple(re.findall(r"`([A-Z_]+)`", when.split(", anything")[0]))) for value, _, when in rows
        ]
        assert documented == [*DISPOSITIONS, (Disposition.MIGRATE, ())]
        assert {value: label for value, label, _ in rows} == DISPOSITION_LABELS

    def test_tables_of_rules_are_what_the_rules_declare(self):
        document = read("docs/rules.md")
        assert rule_docs.written(document) == document, "run make docs"

    def test_every_severity_is_documented(self):
        assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", read("docs/rules.md"), re.MULTILINE)) == set(Severity)


class TestCompose:
    def test_every_variable_that_a_person_may_set_is_in_the_example_and_no_secret_is(self):
        example = read(".env.example")
        named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
        asked = set(re.findall(r"\$\{([A-Z_]+)", read("docker-compose.yaml")))
        assert asked - named == {"ENV_FILE", "SECRETS_DIR"}
        assert {name for name in named if re.search("PASSWORD|SECRET|_KEY", name)} == set()

    def test_names_no_setting_that_does_not_exist(self):
        known = set(variables_of_the_settings())
        for file in (
            "docker-compose.yaml",
            "docker-compose.stack.yaml",
            "docker-compose.sqlserver.yaml",
            ".env.example",
        ):
            assert set(re.findall(r"WAITLIST_[A-Z_]+", read(file))) <= known
