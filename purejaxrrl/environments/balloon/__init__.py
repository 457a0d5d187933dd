"""The Balloon Learning Environment (Google, 2021) in JAX: station keeping in the stratosphere.

`environment.py` is the environment, made of one file for each part: the flight system (`vehicle`, `dynamics`, `safety`), the air
(`atmosphere`, `sun`, `thermal`), the wind (`wind`, `wind_noise`, `simplex`), what the balloon believes of it (`wind_belief`) and
observes (`features`, `pressure_range`), and how episodes begin (`start`, `reference_random`). `agents` fly it, `suites` score them.
"""

from purejaxrrl.environments.balloon.environment import Balloon, EnvParams, Settings, key

__all__ = ["Balloon", "EnvParams", "Settings", "key"]
