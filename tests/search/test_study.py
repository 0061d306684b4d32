"""Trials: which are made, how far they are followed, and that they are the same again; networks are made up here."""

from __future__ import annotations

from collections import Counter

import pytest
from optuna.storages import InMemoryStorage
from sqlalchemy.exc import OperationalError

from compress.errors import ConfigError, PassError, SqueezeError
from compress.evaluation.goals import Goal
from compress.evaluation.results import Fidelity, Interval
from compress.pipeline.search_space import Range, Searchable
from compress.search import study as study_module
from compress.search.record import front_of
from compress.search.search import best
from compress.search.storage import open_storage, reachable, shown
from compress.search.study import Study
from compress.search.trial_measurement import Measured

SEARCH = (
    Searchable("sparsity", 0.5, Range(0.1, 0.9)),
    Searchable("bits", 4, Range(2, 8)),
    Searchable("coding", "huffman", choices=("huffman", "context")),
)
OWN = {each.key: each.own for each in SEARCH}
GOAL = Goal(bytes=2_000)


def fidelity(nats, photos):
    agreement = max(0.0, 1 - nats)
    return Fidelity(
        photos, Interval(agreement, agreement - 0.02, agreement + 0.02), Interval(nats, nats, nats), None, None
    )


def measured(values, photos=(25, 50, 100)):
    """Bytes and divergence that pull at each other, as those of networks do; and what was asked for, in `asked`."""
    size = round(10_000 * (1 - values["sparsity"]) * values["bits"] / 8 * (0.9 if values["coding"] == "context" else 1))
    nats = values["sparsity"] ** 4 + 2.0 ** -values["bits"]
    yield Measured(0, size * 4, photos=photos[0], fidelity=fidelity(nats * 2, photos[0]))
    yield Measured(1, size, size, of_file=True)
    for step, count in enumerate(photos, start=2):
        known = fidelity(nats, count)
        yield Measured(step, size, size, count, known, of_file=True, on_all=count == photos[-1])


def made(count, storage=None, goal=GOAL, measure=measured, seed=0):
    study = Study(storage or InMemoryStorage(), "s", SEARCH, goal, seed)
    if study.is_new:
        study.begin_with([("pipeline", OWN), ("scan", {**OWN, "bits": 3})])
    while len(study.done()) < count:
        study.next_trial(measure)
    return study


def test_the_pipelines_own_values_come_first_and_are_measured_to_the_end_though_too_large():
    first = made(1).done()[0]
    assert (first.values, first.origin, first.state, first.photos) == (OWN, "pipeline", "measured", 100)
    assert first.file_bytes == 2_500
    assert first.excess == pytest.approx(0.25)


def test_what_is_too_large_is_judged_on_no_photo():
    asked = Counter()

    def counting(values):
        for known in measured(values):
            asked[values["bits"], values["sparsity"]] = known.step
            yield known

    trials = made(20, measure=counting).done()
    pruned = [trial for trial in trials if trial.reason == f"{trial.file_bytes:,} bytes, more than 2,000"]
    assert pruned
    assert {asked[trial.values["bits"], trial.values["sparsity"]] for trial in pruned} == {1}


def test_the_search_finds_better_than_it_began_with():
    trials = made(40).done()
    winner = best(trials, "closest", bytes_alone=True)
    assert winner.excess == 0
    assert winner.file_bytes <= 2_000
    assert winner.divergence_nats < 0.85 * min(t.divergence_nats for t in trials[:2] if t.file_bytes <= 2_000)


def test_within_a_drop_the_smallest_is_looked_for_and_what_is_too_far_is_pruned_on_some_photos():
    trials = made(40, goal=Goal(min_agreement=0.9)).done()
    winner = best(trials, "smallest", bytes_alone=False)
    assert winner.agreement >= 0.9
    assert winner.file_bytes == min(t.file_bytes for t in trials if t.state == "measured" and t.excess == 0)
    assert any(t.state == "pruned" and t.photos < 100 and "agrees on" in t.reason for t in trials)
    assert any(t.reason.endswith(" are enough") and t.photos < 100 for t in trials)


def test_the_same_seed_makes_the_same_trials_and_another_makes_others():
    values = [[trial.values for trial in made(15, seed=seed).done()] for seed in (5, 5, 6)]
    assert values[0] == values[1] != values[2]


def test_one_that_was_killed_is_tried_again_and_the_rest_is_as_if_nothing_had_been(tmp_path, monkeypatch):
    def killed(values):
        raise KeyboardInterrupt
        yield

    alone = [trial.values for trial in made(14).done()]
    storage = open_storage(str(tmp_path / "study.journal"))
    made(12, storage)
    with pytest.raises(KeyboardInterrupt):
        made(13, storage, measure=killed)
    again = Study(open_storage(str(tmp_path / "study.journal")), "s", SEARCH, GOAL, 0)
    again.take_up_what_was_lost()
    assert again.running() == 1  # this process is alive, and may be at it
    monkeypatch.setattr(study_module, "_is_alive", lambda worker: False)
    again.take_up_what_was_lost()
    assert again.running() == 0
    while len(again.done()) < 14:
        again.next_trial(measured)
    assert [trial.values for trial in again.done()] == alone


def test_two_processes_work_on_one_study_and_neither_does_what_the_other_did(tmp_path):
    where = f"sqlite:///{tmp_path / 'study.db'}"
    for turn in range(6):
        study = Study(open_storage(where), "s", SEARCH, GOAL, 0)
        if turn == 0:
            study.begin_with([("pipeline", OWN)])
        study.next_trial(measured)
    trials = study.done()
    assert [trial.number for trial in trials] == list(range(6))
    assert len({tuple(trial.values.items()) for trial in trials}) == 6


def test_a_trial_that_fails_is_kept_with_its_reason_but_the_pipelines_own_ends_the_search():
    def failing(values):
        if values["bits"] == 3:
            raise PassError("no", stage="share")
        yield from measured(values)

    trials = made(3, measure=failing).done()
    assert (trials[1].state, trials[1].reason) == ("failed", "stage share: no")
    with pytest.raises(SqueezeError, match="always"):
        made(1, measure=lambda values: (_ for _ in ()).throw(PassError("always")))


def test_what_two_others_beat_in_bytes_and_closeness_is_pruned():
    def worse_each_time(values):
        yield Measured(0, 100 + calls["n"], photos=25, fidelity=fidelity(0.1 * 2 ** calls["n"], 25))
        calls["n"] += 1
        yield Measured(1, 100, 100, 100, fidelity(0.1, 100), of_file=True, on_all=True)

    calls = Counter()
    states = [trial.state for trial in made(4, measure=worse_each_time).done()]
    assert states == ["measured", "measured", "pruned", "pruned"]


def test_the_front_is_of_those_that_no_other_beats():
    trials = made(25, goal=Goal(bytes=100_000)).done()
    front = [trials[number] for number in front_of(trials)]
    assert len(front) > 2
    for trial in (trial for trial in trials if trial.state == "measured" and trial not in front):
        assert any(t.file_bytes <= trial.file_bytes and t.divergence_nats <= trial.divergence_nats for t in front)


def test_where_no_trial_meets_the_goal_the_nearest_is_taken():
    trials = made(10, goal=Goal(bytes=10)).done()
    assert best(trials, "closest", bytes_alone=True).file_bytes == min(trial.file_bytes for trial in trials)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (
            "sqlite:////there/is/none/study.db",
            "cannot reach the study sqlite:////there/is/none/study.db: unable to open",
        ),
        ("oracle+nothing://me:secret@host/x", "cannot reach the study oracle+nothing://me:***@host/x"),
        ("foo://:::", "is no database's URL"),
        ("/", "cannot open the study /: Is a directory"),
    ],
)
def test_a_study_that_cannot_be_reached_is_one_clear_error(where, words):
    with pytest.raises(ConfigError) as caught:
        open_storage(where)
    message = str(caught.value)
    assert words in message
    assert message.startswith("--study: ")
    assert "\n" not in message
    assert "secret" not in message


def test_a_file_of_something_else_is_no_study(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(ConfigError, match="cannot reach the study"):
        open_storage(str(tmp_path / "notes.txt"))
    assert (tmp_path / "notes.txt").read_text() == "hello\n"


def test_a_database_that_is_lost_on_the_way_is_one_error_that_says_how_to_go_on():
    lost = (
        "the study postgresql://me:\\*\\*\\*@host/db cannot be reached any more .*: the same command goes on from there"
    )
    with pytest.raises(SqueezeError, match=lost), reachable("postgresql://me:secret@host/db"):
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))


def test_a_password_is_never_shown():
    assert shown("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
