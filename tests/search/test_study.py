"""The trials of a study: their values, their pruning, and repeatable order. Networks are replaced by formulas."""

from __future__ import annotations

from collections import Counter

import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from compress.configuration.search_space import Range, SearchParameter
from compress.errors import ConfigError, PassError, SqueezeError
from compress.evaluation.goals import Goal
from compress.evaluation.results import Fidelity, Interval
from compress.search import study as study_module
from compress.search.observation import Observation
from compress.search.run_search import best_trial
from compress.search.search_record import pareto_front_of
from compress.search.study import Study
from compress.search.study_storage import explain_lost_storage, open_storage, redacted

PARAMETERS = (
    SearchParameter("sparsity", 0.5, Range(0.1, 0.9)),
    SearchParameter("bits", 4, Range(2, 8)),
    SearchParameter("coding", "huffman", choices=("huffman", "context")),
)
INITIAL = {each.key: each.initial for each in PARAMETERS}
GOAL = Goal(bytes=2_000)


def fidelity(nats, photos):
    agreement = max(0.0, 1 - nats)
    return Fidelity(
        photos, Interval(agreement, agreement - 0.02, agreement + 0.02), Interval(nats, nats, nats), None, None
    )


def observe(values, photos=(25, 50, 100)):
    """Observations of a made-up network: more sparsity and fewer bits give fewer bytes and more divergence."""
    size = round(10_000 * (1 - values["sparsity"]) * values["bits"] / 8 * (0.9 if values["coding"] == "context" else 1))
    nats = values["sparsity"] ** 4 + 2.0 ** -values["bits"]
    yield Observation(0, size * 4, fidelity=fidelity(nats * 2, photos[0]))
    yield Observation(1, size, size, is_final=True)
    for step, count in enumerate(photos, start=2):
        known = fidelity(nats, count)
        yield Observation(step, size, size, known, is_final=True, is_complete=count == photos[-1])


def run_trials(count, storage=None, goal=GOAL, observe=observe, seed=0):
    study = Study(storage or InMemoryStorage(), "s", PARAMETERS, goal, seed)
    if study.is_new:
        study.enqueue([("pipeline", INITIAL), ("scan", {**INITIAL, "bits": 3})])
    while len(study.finished()) < count:
        study.run_trial(observe)
    return study


def test_the_initial_values_come_first_and_are_never_pruned():
    first = run_trials(1).finished()[0]
    assert (first.values, first.origin, first.state, first.photos) == (INITIAL, "pipeline", "measured", 100)
    assert first.file_bytes == 2_500
    assert first.violation == pytest.approx(0.25)


def test_a_file_above_the_limit_is_pruned_before_validation():
    last_step = Counter()

    def counting(values):
        for known in observe(values):
            last_step[values["bits"], values["sparsity"]] = known.step
            yield known

    trials = run_trials(20, observe=counting).finished()
    pruned = [trial for trial in trials if trial.reason == f"{trial.file_bytes:,} bytes, more than 2,000"]
    assert pruned
    assert {last_step[trial.values["bits"], trial.values["sparsity"]] for trial in pruned} == {1}


def test_the_search_improves_on_its_first_trials():
    trials = run_trials(40).finished()
    winner = best_trial(trials, "closest", bytes_only=True)
    assert winner.violation == 0
    assert winner.file_bytes <= 2_000
    assert winner.divergence_nats < 0.85 * min(t.divergence_nats for t in trials[:2] if t.file_bytes <= 2_000)


def test_with_an_accuracy_limit_the_smallest_wins_and_inaccurate_trials_are_pruned_on_a_subset():
    trials = run_trials(40, goal=Goal(min_agreement=0.9)).finished()
    winner = best_trial(trials, "smallest", bytes_only=False)
    assert winner.agreement >= 0.9
    assert winner.file_bytes == min(t.file_bytes for t in trials if t.state == "measured" and t.violation == 0)
    assert any(t.state == "pruned" and t.photos < 100 and "agrees on" in t.reason for t in trials)
    assert any(
        t.reason.startswith(f"{t.file_bytes:,} bytes, and a trial within the limits has ") and t.photos < 100
        for t in trials
    )


def test_equal_seeds_give_equal_trials_and_other_seeds_others():
    values = [[trial.values for trial in run_trials(15, seed=seed).finished()] for seed in (5, 5, 6)]
    assert values[0] == values[1] != values[2]


def running(study):
    return len(study._trials((TrialState.RUNNING,)))


def test_a_killed_trial_runs_again_and_the_later_trials_are_unchanged(tmp_path, monkeypatch):
    def killed(values):
        raise KeyboardInterrupt
        yield

    alone = [trial.values for trial in run_trials(14).finished()]
    storage = open_storage(str(tmp_path / "study.journal"))
    run_trials(12, storage)
    with pytest.raises(KeyboardInterrupt):
        run_trials(13, storage, observe=killed)
    again = Study(open_storage(str(tmp_path / "study.journal")), "s", PARAMETERS, GOAL, 0)
    again.requeue_lost_trials()
    assert running(again) == 1  # this process is alive, and may be at it
    monkeypatch.setattr(study_module, "_is_alive", lambda worker: False)
    again.requeue_lost_trials()
    assert running(again) == 0
    while len(again.finished()) < 14:
        again.run_trial(observe)
    assert [trial.values for trial in again.finished()] == alone


@pytest.mark.parametrize("torn", [b'{"op_code":7,"worker_id":"096a7cce', b'{"op'])
def test_a_line_torn_by_a_full_disk_or_a_kill_is_lost_alone(tmp_path, torn):
    journal = tmp_path / "study.journal"
    before = run_trials(3, open_storage(str(journal))).finished()
    with journal.open("ab") as stream:
        stream.write(torn)
    assert Study(open_storage(str(journal)), "s", PARAMETERS, GOAL, 0).finished() == before
    run_trials(5, open_storage(str(journal)))
    again = Study(open_storage(str(journal)), "s", PARAMETERS, GOAL, 0)
    assert again.finished()[:3] == before
    assert len(again.finished()) == 5
    journal.write_bytes(torn)
    run_trials(1, open_storage(str(journal)))


def test_a_full_disk_is_an_error_that_names_the_study(tmp_path, monkeypatch):
    storage = open_storage(str(tmp_path / "study.journal"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*study\.journal'"):
        run_trials(1, storage)


def test_two_processes_on_one_study_run_different_trials(tmp_path):
    where = f"sqlite:///{tmp_path / 'study.db'}"
    for turn in range(6):
        study = Study(open_storage(where), "s", PARAMETERS, GOAL, 0)
        if turn == 0:
            study.enqueue([("pipeline", INITIAL)])
        study.run_trial(observe)
    trials = study.finished()
    assert [trial.number for trial in trials] == list(range(6))
    assert len({tuple(trial.values.items()) for trial in trials}) == 6


def test_a_failed_trial_has_its_reason_but_failing_initial_values_end_the_search():
    def failing(values):
        if values["bits"] == 3:
            raise PassError("no", stage="share")
        yield from observe(values)

    trials = run_trials(3, observe=failing).finished()
    assert (trials[1].state, trials[1].reason) == ("failed", "stage share: no")
    with pytest.raises(SqueezeError, match="always"):
        run_trials(1, observe=lambda values: (_ for _ in ()).throw(PassError("always")))


def test_a_trial_that_two_others_dominate_is_pruned():
    def worse_each_time(values):
        yield Observation(0, 100 + calls["n"], fidelity=fidelity(0.1 * 2 ** calls["n"], 25))
        calls["n"] += 1
        yield Observation(1, 100, 100, fidelity(0.1, 100), is_final=True, is_complete=True)

    calls = Counter()
    states = [trial.state for trial in run_trials(4, observe=worse_each_time).finished()]
    assert states == ["measured", "measured", "pruned", "pruned"]


def test_no_trial_dominates_one_on_the_pareto_front():
    trials = run_trials(25, goal=Goal(bytes=100_000)).finished()
    front = [trials[number] for number in pareto_front_of(trials)]
    assert len(front) > 2
    for trial in (trial for trial in trials if trial.state == "measured" and trial not in front):
        assert any(t.file_bytes <= trial.file_bytes and t.divergence_nats <= trial.divergence_nats for t in front)


def test_without_a_feasible_trial_the_smallest_violation_wins():
    trials = run_trials(10, goal=Goal(bytes=10)).finished()
    assert best_trial(trials, "closest", bytes_only=True).file_bytes == min(trial.file_bytes for trial in trials)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (
            "sqlite:////there/is/none/study.db",
            "cannot open the study sqlite:////there/is/none/study.db: unable to open",
        ),
        ("oracle+nothing://me:secret@host/x", "cannot open the study oracle+nothing://me:***@host/x"),
        ("foo://:::", "cannot open the study 'foo://...': not a database URL"),
        ("/", "cannot open the study /: Is a directory"),
    ],
)
def test_an_unavailable_storage_is_one_clear_error(where, words):
    with pytest.raises(ConfigError) as caught:
        open_storage(where)
    message = str(caught.value)
    assert words in message
    assert message.startswith("--study: ")
    assert "\n" not in message
    assert "secret" not in message


def test_another_kind_of_file_is_refused_and_unchanged(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(ConfigError, match="cannot open the study"):
        open_storage(str(tmp_path / "notes.txt"))
    assert (tmp_path / "notes.txt").read_text() == "hello\n"


def test_a_lost_connection_is_one_error_that_says_how_to_continue():
    lost = r"the connection to the study postgresql://me:\*\*\*@host/db was lost .*: run the same command again"
    with pytest.raises(SqueezeError, match=lost), explain_lost_storage("postgresql://me:secret@host/db"):
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))


def test_a_password_is_never_shown():
    assert redacted("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"


FEW = (SearchParameter("bits", 4, Range(2, 5)), SearchParameter("coding", "raw", choices=("raw", "context")))


def test_no_values_are_tried_twice_and_the_search_ends_when_none_are_left():
    study = Study(InMemoryStorage(), "s", FEW, GOAL, 0)
    study.enqueue([("pipeline", {"bits": 4, "coding": "raw"})])
    seen = []

    def counting(values):
        seen.append(tuple(values.values()))
        yield from observe({"sparsity": 0.5, **values})

    while study.run_trial(counting):
        pass
    assert sorted(seen) == sorted((bits, coding) for bits in range(2, 6) for coding in ("raw", "context"))
    assert len(study.finished()) == 8


def test_values_that_round_to_the_same_are_the_same():
    narrow = (SearchParameter("sparsity", 0.5, Range(0.5, 0.5002)),)
    study = Study(InMemoryStorage(), "s", narrow, GOAL, 0)
    values = []
    while trial := study.run_trial(lambda values: observe({**INITIAL, **values})):
        values.append(trial.values["sparsity"])
    assert sorted(values) == sorted(set(values))
    assert set(values) <= {0.5, 0.5001, 0.5002}


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run_trials(1, open_storage("~/shared/study.journal"))
    assert (tmp_path / "shared" / "study.journal").exists()
