"""The checkpoint of a training is used by equal trainings alone."""

from dataclasses import replace

from compress.runtime.distributed import ProcessGroup
from compress.training import checkpoints
from compress.training.checkpoints import TrainingCheckpoint


def test_a_training_of_other_options_processes_or_code_starts_anew(tiny, context, tmp_path, monkeypatch):
    context = replace(context, store=tmp_path)
    TrainingCheckpoint("distill", "options", tiny, context).write({"step": 50})
    assert TrainingCheckpoint("distill", "options", tiny, context).read() == {"step": 50}
    assert TrainingCheckpoint("distill", "other options", tiny, context).read() is None
    of_two = replace(context, processes=ProcessGroup(0, 2))
    assert TrainingCheckpoint("distill", "options", tiny, of_two).read() is None
    monkeypatch.setattr(checkpoints, "code_digest", lambda: "other code")
    assert TrainingCheckpoint("distill", "options", tiny, context).read() is None
