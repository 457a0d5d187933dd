"""The pace before the first iteration: measured with the run's own updates, which change nothing."""

import jax
import numpy as np
import tiny

from purejaxrrl.runs import forecast, run_folder, training
from purejaxrrl.students import qdagger
from purejaxrrl.students.settings import QDagger


def test_it_is_said_and_changes_nothing(breakout, teacher, dataset, tmp_path, monkeypatch, capsys):
    settings = tiny.tiny(QDagger, network="mlp", widths=(8,), online_iterations=1)
    program = qdagger.program(settings, breakout, teacher, dataset, env_params=tiny.SHORT_EPISODES)
    measured, measures = [], (forecast.seconds_of_an_update, forecast.seconds_of_a_step)

    def update(*arguments):
        measured.append(measures[0](*arguments))
        return 8.0  # 4 an update of a run, of which there are two

    def step(*arguments, evaluates):
        measured.append(measures[1](*arguments, evaluates=evaluates))
        return 3.0 if evaluates else 2.0

    monkeypatch.setattr(forecast, "seconds_of_an_update", update)
    monkeypatch.setattr(forecast, "seconds_of_a_step", step)

    def trained(name, **options):
        labels = [{"seed": seed} for seed in (0, 1)]
        with run_folder.RunFolder(tmp_path / name, {}, resume=False) as folder:
            return training.run(program, [settings] * 2, [0, 1], labels, folder, dataset, **options).learner.params

    params = trained("with", forecast=True)
    # 20 updates offline; online 2 a row, of which the first 5 of 20 only fill the replay: 4 s for each of 2 x 50. An evaluation has 10
    # steps in each of 2 environments, and there are two; the student plays 20 rows.
    said = "measured: 8:20 left, or more where evaluations wait for episodes to end\n"
    assert said in capsys.readouterr().out and len(measured) == 3 and min(measured) > 0
    jax.tree.map(np.testing.assert_array_equal, params, trained("without"))
    assert "measured" not in capsys.readouterr().out
