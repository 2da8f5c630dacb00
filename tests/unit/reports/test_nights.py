"""The message about an outage of the nights: after 26 hours, once, and again for the next outage."""

import datetime as dt

import pytest

from waitlist.reports.nights import LONGEST, Nights, Watch, first_begun, last_verified
from waitlist.staging.dry_runs import DryRun

NIGHT = dt.datetime(2024, 10, 1, 3, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def run(finished_at: dt.datetime | None, as_of: dt.date | None = None, units: frozenset[str] | None = None) -> DryRun:
    day = as_of or (finished_at or NIGHT).date()
    return DryRun(
        batch_id="b",
        run_id="r",
        as_of=day,
        started_at=NIGHT,
        finished_at=finished_at,
        posts=1,
        units=units,
        edition=None,
    )


def check_every_hour(verified: dict[int, dt.datetime], hours: int, watch: Watch) -> list[int]:
    """Check every hour, as long as ``hours``; return the hours at which a message was sent."""
    told = []
    for hour in range(hours):
        now = NIGHT + hour * HOUR
        looked = Watch.look(watch.to_record(), Nights(verified.get(hour), NIGHT), now)
        assert looked is not None
        watch = looked
        if watch.notice(now) is not None:
            told.append(hour)
            watch = Watch(watch.since, told=True)
    return told


def test_an_outage_gives_one_message_after_26_hours() -> None:
    assert check_every_hour({}, 24 * 14, Watch(NIGHT)) == [27]


def test_nights_that_come_are_no_news() -> None:
    nights = {hour: NIGHT + hour * HOUR for hour in range(0, 24 * 10, 24)}
    assert check_every_hour(nights, 24 * 10, Watch(NIGHT)) == []


def test_the_next_outage_gives_a_message_again() -> None:
    assert check_every_hour({50: NIGHT + 50 * HOUR}, 120, Watch(NIGHT)) == [27, 77]


def test_exactly_26_hours_are_in_time() -> None:
    assert Watch(NIGHT).notice(NIGHT + LONGEST) is None
    assert Watch(NIGHT).notice(NIGHT + LONGEST + dt.timedelta(seconds=1)) is not None


def test_the_message_has_the_last_night_in_swedish_time_and_no_persons() -> None:
    notice = Watch(NIGHT).notice(NIGHT + 2 * LONGEST)
    assert notice is not None
    assert notice.subject == "Väntelistorna: ingen torrkörning är klar sedan 2024-10-01 kl. 05.00"
    assert "mer än 26 timmar" in notice.text


@pytest.mark.parametrize(
    "record", [None, "", 7, [], {}, {"since": "igår", "told": False}, {"since": None, "told": False}, {"told": True},
               {"since": "2124-01-01T00:00:00+00:00", "told": True}, {"since": "2024-01-01T00:00:00", "told": True}],
)  # fmt: skip
def test_no_content_of_the_variable_silences_more_than_one_outage(record: object) -> None:
    assert Watch.look(record, Nights(begun=NIGHT - 90 * HOUR), NIGHT) == Watch(NIGHT - 90 * HOUR)
    assert Watch.look(record, Nights(NIGHT - 30 * HOUR, NIGHT - 90 * HOUR), NIGHT) == Watch(NIGHT - 30 * HOUR)


def test_no_night_is_expected_before_the_first_night_began() -> None:
    assert Watch.look(None, Nights(), NIGHT) is None


def test_the_last_state_is_kept_when_staging_cannot_be_read() -> None:
    known = Watch(NIGHT - 30 * HOUR, told=True)
    assert Watch.look(known.to_record(), Nights(), NIGHT) == known


def test_an_outage_gives_no_second_message_when_its_first_night_is_removed() -> None:
    known = Watch(NIGHT - 90 * HOUR, told=True)
    assert Watch.look(known.to_record(), Nights(begun=NIGHT - 40 * HOUR), NIGHT) == known


def test_a_night_of_a_clock_that_is_ahead_counts_as_now() -> None:
    ahead = NIGHT + dt.timedelta(days=900)
    assert Watch.look(Watch(NIGHT).to_record(), Nights(ahead), NIGHT + HOUR) == Watch(NIGHT + HOUR)


def test_a_night_is_a_dry_run_over_every_unit_as_of_its_own_day_or_the_one_before() -> None:
    assert last_verified([run(NIGHT), run(NIGHT - HOUR)]) == NIGHT
    assert last_verified([run(NIGHT, as_of=NIGHT.date() - dt.timedelta(days=1))]) == NIGHT
    assert last_verified([run(NIGHT, as_of=NIGHT.date() - dt.timedelta(days=2))]) is None
    assert last_verified([run(NIGHT, units=frozenset({"SE2120009999-DEMO1"}))]) is None
    assert last_verified([run(None)]) is None
    assert last_verified([]) is None


def test_the_first_night_is_the_first_that_began_as_of_its_own_day_or_the_one_before() -> None:
    day = NIGHT.date()
    assert first_begun([(day, NIGHT), (day, NIGHT - HOUR)]) == NIGHT - HOUR
    assert first_begun([(day - dt.timedelta(days=2), NIGHT - HOUR), (day - dt.timedelta(days=1), NIGHT)]) == NIGHT
    assert first_begun([]) is None
