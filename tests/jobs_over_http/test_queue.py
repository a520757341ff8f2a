"""The table of jobs as a queue, on both databases."""

import threading

import pytest

from service.jobs import records
from service.jobs.queue import GAVE_UP, MOST_ATTEMPTS, Outcome, Queue
from service.jobs.records import Place
from service.store.database import Database
from tests.job_rows import KEEP, LEASE, SECOND, START, add, get, name, row

LATER = START + 60 * SECOND


def queue(database: Database, owner: str = "one") -> Queue:
    return Queue(database, owner, lease=LEASE, keep=KEEP)


def test_the_oldest_job_is_taken_first(database: Database) -> None:
    add(database, row(3), row(1), row(2))
    taken = [queue(database).take(LATER) for _ in range(4)]
    assert [job and job.job_id for job in taken] == [name(1), name(2), name(3), None]


def test_a_row_comes_back_as_it_went_in(database: Database) -> None:
    whole = row(
        cancel_requested=True,
        owner="x",
        lease_until=5,
        attempts=2,
        rows_read=1 << 40,
        outcomes='{"scored": 3}',
        started_at=1,
        finished_at=2,
        expires_at=3,
        reason="r",
        results_bytes=1 << 40,
        results_sha256="ab",
    )
    add(database, whole)
    assert get(database) == whole
    assert whole.rows == {"scored": 3}


def test_a_taken_job_is_its_workers_alone_until_the_lease_ends(database: Database) -> None:
    add(database, row())
    first, second = queue(database, "first"), queue(database, "second")
    taken = first.take(LATER)
    assert taken is not None
    assert (taken.state, taken.owner, taken.started_at) == ("running", "first", LATER)
    assert second.take(LATER + LEASE) is None
    over = second.take(LATER + LEASE + 1)
    assert over is not None
    assert (over.owner, over.started_at) == ("second", LATER)


def test_a_renewed_lease_keeps_others_away(database: Database) -> None:
    add(database, row())
    first, second = queue(database, "first"), queue(database, "second")
    first.take(LATER)
    assert first.renew(name(1), 500, LATER + LEASE - 1) == "mine"
    assert second.take(LATER + LEASE + 1) is None
    job = get(database)
    assert job is not None
    assert job.rows_read == 500


def test_a_worker_that_was_taken_for_dead_changes_nothing(database: Database) -> None:
    add(database, row())
    first, second = queue(database, "first"), queue(database, "second")
    first.take(LATER)
    second.take(LATER + LEASE + 1)
    before = get(database)
    assert first.renew(name(1), 900, LATER + LEASE + 2) == "lost"
    assert not first.end(name(1), Outcome("failed", 900, reason="x"), LATER + LEASE + 2)
    first.give_back(name(1))
    assert get(database) == before
    assert second.end(name(1), Outcome("done", 3, {"scored": 3}), LATER + LEASE + 3)


def test_a_job_that_was_given_back_is_anybodys_at_once(database: Database) -> None:
    add(database, row())
    first, second = queue(database, "first"), queue(database, "second")
    first.take(LATER)
    first.give_back(name(1))
    assert second.take(LATER + 1) is not None


def test_an_ended_job_has_its_outcome_and_expires(database: Database) -> None:
    add(database, row())
    mine = queue(database)
    mine.take(LATER)
    outcome = Outcome("done", 3, {"scored": 2, "error": 1}, None, 99, "ab")
    assert mine.end(name(1), outcome, LATER + 5)
    job = get(database)
    assert job is not None
    assert (job.state, job.rows, job.results_bytes) == ("done", {"scored": 2, "error": 1}, 99)
    assert (job.finished_at, job.expires_at) == (LATER + 5, LATER + 5 + KEEP)
    assert mine.take(LATER + 10 * LEASE) is None


def test_a_job_that_waits_is_cancelled_at_once(database: Database) -> None:
    add(database, row())
    before, job = queue(database).cancel(name(1), LATER)
    assert before == "queued"
    assert job is not None
    assert (job.state, job.expires_at) == ("cancelled", LATER + KEEP)
    assert queue(database).take(LATER) is None


def test_a_running_jobs_worker_hears_of_its_cancellation(database: Database) -> None:
    add(database, row())
    mine = queue(database, "first")
    mine.take(LATER)
    before, job = queue(database, "desk").cancel(name(1), LATER + 1)
    assert before == "running"
    assert job is not None
    assert (job.state, job.cancel_requested) == ("running", True)
    assert mine.renew(name(1), 10, LATER + 2) == "cancel"


@pytest.mark.parametrize("asked_after", [0, LEASE + 1])
def test_a_job_whose_worker_died_is_cancelled_too(database: Database, asked_after: int) -> None:
    add(database, row())
    queue(database, "dead").take(LATER)
    queue(database, "desk").cancel(name(1), LATER + asked_after)
    assert queue(database, "other").take(LATER + LEASE + 2) is None
    job = get(database)
    assert job is not None
    assert job.state == "cancelled"


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_an_ended_job_is_not_cancelled(database: Database, state: str) -> None:
    add(database, row(state=state))
    before, job = queue(database).cancel(name(1), LATER)
    assert before == state
    assert job == row(state=state)
    assert queue(database).cancel(name(2), LATER) == (None, None)


def test_a_job_that_takes_its_process_down_is_given_up(database: Database) -> None:
    add(database, row())
    now = LATER
    for attempt in range(MOST_ATTEMPTS):
        assert queue(database, f"w{attempt}").take(now) is not None
        now += LEASE + 1
    assert queue(database).take(now) is None
    job = get(database)
    assert job is not None
    assert (job.state, job.reason) == ("failed", GAVE_UP)


def test_a_step_forward_gives_a_job_all_its_attempts_again(database: Database) -> None:
    add(database, row())
    now = LATER
    for attempt in range(3 * MOST_ATTEMPTS):
        mine = queue(database, f"w{attempt}")
        assert mine.take(now) is not None
        mine.renew(name(1), attempt + 1, now)
        now += LEASE + 1


def test_two_workers_at_once_never_take_the_same_job(database: Database, store_url: str) -> None:
    add(database, *(row(number) for number in range(1, 31)))
    taken: list[str] = []
    faults: list[BaseException] = []

    def work(owner: str) -> None:
        other = Database(store_url)
        try:
            while (job := queue(other, owner).take(LATER)) is not None:
                taken.append(job.job_id)
        except BaseException as error:
            faults.append(error)
        finally:
            other.close()

    threads = [threading.Thread(target=work, args=(f"w{at}",)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert sorted(taken) == [name(number) for number in range(1, 31)]


def test_jobs_are_listed_newest_first_in_pages(database: Database) -> None:
    add(database, *(row(number, created_at=START + number // 2) for number in range(1, 8)))
    found: list[str] = []
    after = None
    while page := records.page(database, state=None, limit=3, after=after):
        found += [job.job_id for job in page]
        after = Place(page[-1].created_at, page[-1].job_id)
    assert found == [name(number) for number in range(7, 0, -1)]


def test_jobs_are_listed_and_counted_by_state(database: Database) -> None:
    add(database, row(1), row(2, state="done"), row(3, state="done"))
    listed = records.page(database, state="done", limit=9, after=None)
    assert [job.job_id for job in listed] == [name(3), name(2)]
    assert records.counts(database) == {
        "queued": 1,
        "running": 0,
        "done": 2,
        "failed": 0,
        "cancelled": 0,
    }
