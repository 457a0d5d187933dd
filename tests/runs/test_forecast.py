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
    measured, measure = [], forecast.seconds_of_an_update

    def seconds(*arguments):
        measured.append(measure(*arguments))
        return 8.0  # 4 an update of a run, of which there are two

    monkeypatch.setattr(forecast, "seconds_of_an_update", seconds)

    def trained(name, **options):
        labels = [{"seed": seed} for seed in (0, 1)]
        with run_folder.RunFolder(tmp_path / name, {}, resume=False) as folder:
            return training.run(program, [settings] * 2, [0, 1], labels, folder, dataset, **options).learner.params

    params = trained("with", forecast=True)
    # 20 updates offline; online 2 a row, of which the first 5 of 20 only fill the replay: 4 s for each of 2 x 50.
    said = "measured 0 updates/s: 6:40 left without playing and evaluations\n"
    assert said in capsys.readouterr().out and len(measured) == 1 and measured[0] > 0
    jax.tree.map(np.testing.assert_array_equal, params, trained("without"))
    assert "measured" not in capsys.readouterr().out
