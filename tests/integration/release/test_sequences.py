"""Over any sequence of runs, approvals, releases, withdrawals and rejections no post is ever visible twice."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.support import batches, releases
from tests.support.releases import LATER, NOW, PASSED, REASON

from waitlist.exceptions import RefusedError
from waitlist.facts.gates import Gate
from waitlist.release import decisions as release
from waitlist.staging import PIPELINE, StagingStore, schema

POSTS = [post for post in range(1, 14) if batches.disposition_of(post) == "migrate"]
LAWFUL = MappingProxyType(
    {
        None: {"open"},
        "open": {"staged"},
        "staged": {"verified"},
        "verified": {"open", "awaiting_approval"},
        "awaiting_approval": {"awaiting_approval", "override", "released", "rejected"},
        "override": {"released"},
        "released": {"withdrawn"},
        "withdrawn": set(),
        "rejected": set(),
    }
)
"""The events that may follow each event in a batch's audit trail."""


class Waves(RuleBasedStateMachine):
    """The store beside a model of it: each batch's posts and state, and which batch released which post."""

    store: StagingStore
    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        batches._fill(self.store, {})
        self.posts: dict[str, list[int]] = {}
        self.state: dict[str, str] = {}
        self.needs_reason: set[str] = set()
        self.said: dict[str, str | None] = {}

    @property
    def released(self) -> dict[int, str]:
        return {post: name for name, posts in self.posts.items() for post in posts if self.state[name] == "released"}

    def holds(self, succeeds: bool, step: Callable[[], object]) -> None:
        """Require that the step succeeds when the model says so, and is refused otherwise."""
        if succeeds:
            step()
        else:
            with pytest.raises(RefusedError):
                step()

    @rule(target=names, name=st.sampled_from("abcd"), posts=st.sets(st.sampled_from(POSTS)), late=st.booleans())
    def run(self, name: str, posts: set[int], late: bool) -> str:
        """Stage a batch, by an assessment that began after the release, or by one that began before it."""
        wanted = sorted(posts if late else posts - self.released.keys())
        fixed = self.state.get(name) not in {None, "verified"}
        self.holds(not fixed, lambda: releases.verified(self.store, name, wanted))
        if not fixed:
            self.posts[name], self.state[name] = wanted, "verified"
        return name

    @rule(name=names, failed=st.booleans())
    def ask(self, name: str, failed: bool) -> None:
        taken = any(self.released.get(post, name) != name for post in self.posts[name])
        lawful = self.state[name] in {"verified", "awaiting_approval"} and not taken
        gates = releases.failing(Gate.UNHANDLED_SHARE) if failed else list(PASSED)
        self.holds(lawful, lambda: release.request_approval(self.store, name, gates, PIPELINE, NOW))
        if lawful:
            self.state[name] = "awaiting_approval"
            (self.needs_reason.add if failed else self.needs_reason.discard)(name)

    @rule(name=names, reason=st.sampled_from([None, REASON]))
    def let_go(self, name: str, reason: str | None) -> None:
        taken = any(post in self.released for post in self.posts[name])
        lawful = (
            self.state[name] == "awaiting_approval" and not taken and not (name in self.needs_reason and not reason)
        )
        again = self.state[name] == "released" and self.said[name] == reason
        self.holds(lawful or again, lambda: release.release(self.store, name, "Eva", reason, LATER))
        if lawful:
            self.state[name], self.said[name] = "released", reason

    @rule(name=names)
    def say_no(self, name: str) -> None:
        self.holds(
            self.state[name] in {"awaiting_approval", "rejected"},
            lambda: release.reject(self.store, name, "Eva", None, LATER),
        )
        if self.state[name] == "awaiting_approval":
            self.state[name] = "rejected"

    @rule(name=names)
    def take_back(self, name: str) -> None:
        self.holds(
            self.state[name] in {"released", "withdrawn"},
            lambda: release.withdraw(self.store, name, "Eva", REASON, LATER),
        )
        if self.state[name] == "released":
            self.state[name] = "withdrawn"

    @invariant()
    def every_visible_row_is_of_a_released_batch_and_no_post_is_visible_twice(self) -> None:
        view, released, batch = schema.bokningsbegaran_released.c, schema.released_post.c, schema.batch.c
        with self.store.engine.connect() as connection:
            shown = connection.execute(sa.select(view.post_id, view.batch_id)).all()
            kept = connection.execute(sa.select(released.post_id, released.batch_id)).all()
            states = connection.execute(sa.select(batch.batch_id, batch.state)).all()
        assert sorted(map(tuple, shown)) == sorted(map(tuple, kept)) == sorted(self.released.items())
        assert dict(map(tuple, states)) == self.state

    def teardown(self) -> None:
        for name, state in self.state.items():
            told = releases.told(self.store, name)
            assert all(after in LAWFUL[before] for before, after in zip([None, *told], told, strict=False)), told
            assert told[-1] == state
            if state == "released":
                assert release.verify_released(self.store, name) == len(self.posts[name])


@pytest.mark.parametrize(
    ("store", "examples"),
    [pytest.param("sqlite", 10, id="sqlite"), pytest.param("postgresql", 4, id="postgresql")],
    indirect=["store"],
)
def test_no_post_is_ever_visible_twice(store: StagingStore, examples: int) -> None:
    machine = type("WavesThere", (Waves,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def store(request, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)
