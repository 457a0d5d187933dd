"""Scores a teacher anew: more episodes than its card has, their standard error, or another environment.

    python experiments/score_teacher.py                                           # the shipped Breakout teacher, 5,000 episodes
    python experiments/score_teacher.py --teacher runs/my-teacher/teacher --write # and puts the scores on its card
    python experiments/score_teacher.py --environment atari/breakout              # 100 episodes, cut after 10,000 agent steps

What is normalised by a card moves with its scores. A teacher's fingerprint, which its data and its students' streams depend on, does
not.
"""

from purejaxrrl import streams, teachers
from purejaxrrl.errors import UserError
from purejaxrrl.files import atomic
from purejaxrrl.runs import command_line, compilations, devices, experiment
from purejaxrrl.streams import Purpose
from purejaxrrl.students import presets
from purejaxrrl.students.hyperparameters import declaration, declare, option
from purejaxrrl.students.settings import SIDE_BY_SIDE, ValueBased

CARDS_EPSILON = declaration(ValueBased, "evaluation_epsilon").default


@declare
class Config:
    environment: str = option("minatar/breakout", "name of the environment")
    environment_options: str = option("", "options that the environment is made with, as name=value,name=value")
    teacher: str = option("", "folder of the teacher; empty: the one that comes with the library")
    teacher_fires: bool = option(
        False,
        "press FIRE for the teacher at an episode's start and after every lost life, as is done anyway where its card says so; "
        "--write puts this on the card",
    )
    episodes: int = option(
        5_000, "number of episodes of each score, played side by side", minimum=2, maximum=SIDE_BY_SIDE
    )
    epsilon: float = option(
        CARDS_EPSILON, "chance of a random action of the teacher in these episodes", minimum=0, maximum=1
    )
    evaluation_limit: int = option(
        0, "agent steps after which an episode counts as it stands; 0: all are played to their ends", minimum=0
    )
    seed: int = option(0, "seed of the episodes", minimum=0)
    write: bool = option(False, "put the scores on the teacher's card; its parameters stay as they are")

    def __post_init__(self):
        if self.write and self.epsilon != CARDS_EPSILON:
            raise UserError(
                f"epsilon is {self.epsilon}; scores on a card are of {CARDS_EPSILON}: leave out --epsilon or --write"
            )


def defaults(environment: str) -> dict[str, int]:
    """What flags are where they are not given, for an environment of that name: on Atari as many and as long episodes as dqn.py's cards have."""
    if not (preset := presets.of_dqn(environment)):
        return {}
    return {"episodes": preset["card_episodes"], "evaluation_limit": preset["evaluation_limit"]}


def main() -> None:
    devices.use_cores()
    compilations.keep()
    with command_line.user_errors("the same command starts again"):
        preset = defaults(command_line.given("environment", ""))
        (config,) = command_line.parse((Config,), __doc__, defaults=preset)
        teacher, environment = experiment.load_teacher(config), experiment.make(config)
        path = config.teacher or teachers.shipped(config.environment)
        teachers.check_fits(teacher, environment, normalises=False)
        if config.write:
            atomic.check_writable(path)
        before = teacher.card
        key = streams.root(config.seed, Purpose.CARD)
        experiment.say_scoring("the teacher and the random policy", config.episodes, config.evaluation_limit)
        teacher = teachers.scored_anew(
            key, teacher, environment, epsilon=config.epsilon, episodes=config.episodes, limit=config.evaluation_limit
        )
        if config.write:
            teachers.save_card(path, teacher)
    card = teacher.card
    print(f"{environment.name}: {config.episodes:,} episodes, {path}{', card written' if config.write else ''}")
    for name, mean, error, was in (
        ("teacher", card.score, card.score_error, before.score),
        ("random policy", card.random_score, card.random_score_error, before.random_score),
    ):
        print(f"{name:14} {mean:8.3f} +- {error:.3f} (its card had {was:.3f} of {before.evaluation_episodes:,})")


if __name__ == "__main__":
    main()
