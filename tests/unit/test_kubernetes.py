"""The network policies are valid and let each pod reach what its work takes; the values hold no secret."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from waitlist import paths

FOLDER = paths.PROJECT / "kubernetes"
POLICIES = list(yaml.safe_load_all((FOLDER / "network-policies.yaml").read_text(encoding="utf-8")))
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((paths.PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))
COMPONENTS = ("api-server", "dag-processor", "run-airflow-migrations", "scheduler", "triggerer", "worker")
PLACES = {
    "metadata": "192.0.2.10/32", "kubernetes": "192.0.2.1/32", "staging": "192.0.2.20/32", "store": "192.0.2.30/32",
    "pmo": "198.51.100.10/32", "persons": "198.51.100.20/32", "mail": "198.51.100.30/32",
}  # fmt: skip


def selects(selector: dict[str, Any], component: str) -> bool:
    """Return whether a selector of pods has a component of Airflow."""
    labels = selector.get("matchLabels", {})
    told = selector.get("matchExpressions", [])
    assert set(labels) <= {"component"}
    assert all(one["key"] == "component" and one["operator"] == "In" for one in told)
    return labels.get("component", component) == component and all(component in one["values"] for one in told)


def reached(component: str) -> set[str]:
    """Return the servers outside the cluster that a component may reach."""
    blocks = {
        to["ipBlock"]["cidr"]
        for policy in POLICIES
        if "Egress" in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], component)
        for rule in policy["spec"].get("egress", [])
        for to in rule["to"]
        if "ipBlock" in to
    }
    return {name for name, block in PLACES.items() if block in blocks}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["metadata"]["name"])
def test_a_policy_is_valid(policy: dict[str, Any]) -> None:
    kubernetes_validate.validate(policy, "1.31", strict=True)


def test_everything_is_refused_before_it_is_allowed() -> None:
    first = POLICIES[0]["spec"]
    assert first == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in POLICIES[1:]:
        for direction in ("ingress", "egress"):
            for rule in policy["spec"].get(direction, []):
                assert rule["ports"], policy["metadata"]["name"]
                assert rule.get("to") or rule.get("from"), policy["metadata"]["name"]


def test_each_component_reaches_what_its_work_takes_and_nothing_else() -> None:
    assert {component: reached(component) for component in COMPONENTS} == {
        "api-server": {"metadata", "staging", "store"},
        "dag-processor": {"metadata", "staging", "store", "mail"},
        "run-airflow-migrations": {"metadata"},
        "scheduler": {"metadata", "kubernetes"},
        "triggerer": {"metadata"},
        "worker": {"staging", "store", "pmo", "persons", "mail"},
    }
    assert set(PLACES) == set().union(*map(reached, COMPONENTS))


def test_the_values_use_the_accounts_as_the_compose_stack_does() -> None:
    accounts = {one["name"]: one["value"] for one in VALUES["env"] if one["name"].startswith("WAITLIST_STAGING_")}
    compose = COMPOSE["x-waitlist-environment"]
    assert accounts == {name: value for name, value in compose.items() if name.startswith("WAITLIST_STAGING_")}
    names = ("workers", "apiServer", "dagProcessor")
    secret = {name: VALUES[name]["extraVolumes"][0]["secret"]["secretName"] for name in names}
    dashboard = "waitlist-connections-dashboard"
    assert secret == {"workers": "waitlist-connections", "apiServer": dashboard, "dagProcessor": dashboard}
    assert [name for name in ("scheduler", "triggerer") if "extraVolumes" in VALUES[name]] == []
    told = {one["name"]: one["value"] for one in VALUES["dagProcessor"]["env"]}
    assert told.items() >= {one["name"]: one["value"] for one in VALUES["apiServer"]["env"]}.items()
    read = "WAITLIST_STAGING_LOADER"
    assert told[read] == COMPOSE["services"]["airflow-dag-processor"]["environment"][read] == "staging_dashboard"


def test_no_value_is_a_secret() -> None:
    def walk(value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, key)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, name)
        elif name.lower().endswith(("password", "pass", "fernetkey", "secretkey", "jwtsecret", "connection")):
            raise AssertionError(f"{name} is a value")

    walk(VALUES)
    assert VALUES["postgresql"] == VALUES["redis"] == {"enabled": False}
    assert VALUES["createUserJob"] == {"enabled": False, "defaultUser": {"enabled": False}}
