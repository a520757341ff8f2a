"""A list of nothing but ids that the store is too far behind to answer: refused when it is sent."""

from pathlib import Path

from service.jobs.job import CHUNK, Job, JobFailed, Limits
from service.jobs.prepared import of_rows
from service.jobs.rows_in import open_list
from service.jobs.sent import Place
from service.models import Loaded
from service.problems import STALE_HISTORY, Problem


def refuse_stale(folder: Path, job: Job, loaded: Loaded, limits: Limits) -> None:
    """Refuse a list all of whose rows would be refused because their feeds have stalled.

    One with a row that can be answered, or is wrong in another way, is taken; its rows are judged
    one by one when it runs. The list is read only where the job's own `as_of` is too late.

    Parameters
    ----------
    folder : Path
        Where the list is.
    job : Job
        As it would be.
    loaded : Loaded
        The model that would serve it.
    limits : Limits
        What a customer may have.

    Raises
    ------
    Problem
        All of them would be.
    """
    if job.marks is None:
        return
    try:
        job.marks.hold(job.as_of, None, loaded.scorer.feeds)
    except Problem as problem:
        if _all_are_stale(folder, job, loaded, limits):
            raise problem from None


def _all_are_stale(folder: Path, job: Job, loaded: Loaded, limits: Limits) -> bool:
    some = False
    try:
        for sent, _ in open_list(folder, job, loaded.scorer, limits).chunks(Place(), CHUNK):
            if not isinstance(sent, list):  # columns of features
                return False
            # Who is known does not matter: staleness comes first.
            refused = of_rows(sent, job, loaded, lambda customer_ids: {}, limits).refused
            if len(refused) < len(sent):
                return False
            if any(problem.kind is not STALE_HISTORY for _, problem in refused.values()):
                return False
            some = True
    except JobFailed:  # for which the job says why
        return False
    return some
