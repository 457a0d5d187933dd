import jax
import pytest
from tiny import SHORT_EPISODES, TINY, untrained_teacher

import purejaxrrl
from purejaxrrl import datasets, replay, teachers


@pytest.fixture(scope="session")
def breakout():
    return purejaxrrl.make("minatar/breakout")


@pytest.fixture(scope="session")
def teacher(breakout):
    return untrained_teacher(breakout)


@pytest.fixture(scope="session")
def dataset(breakout, teacher):
    memory = replay.memory_for(breakout, SHORT_EPISODES, TINY["data_transitions"], 8, TINY["max_n_step"])
    return datasets.collect(jax.random.key(3), breakout, SHORT_EPISODES, teacher, memory, 0.1)


@pytest.fixture(scope="session")
def teacher_folder(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "breakout"
    teachers.save(folder, teacher)
    return folder
