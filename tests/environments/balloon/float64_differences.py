"""Prints, as JSON, by how much this library in float64 differs from what was recorded. Run in a process of its own: the width of
reals is JAX's global flag."""

import json
import sys

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import recordings  # noqa: E402

from purejaxrrl import teachers  # noqa: E402
from purejaxrrl.environments.balloon import (  # noqa: E402
    agents,
    assets,
    dynamics,
    environment,
    start,
    wind_belief,
    wind_noise,
)
from purejaxrrl.environments.balloon.constants import STEPS_OF_EPISODE  # noqa: E402
from purejaxrrl.environments.balloon.environment import Balloon  # noqa: E402
from purejaxrrl.environments.balloon.vehicle import light_at  # noqa: E402


def largest(found, expected):
    return float(np.abs(np.asarray(found, np.float64) - expected).max())


def steps(seed):
    """Each recorded state one step on."""
    recorded = recordings.load(f"steps_seed{seed}")
    step = jax.jit(jax.vmap(dynamics.step, (0, 0, 0, None)))
    before, wind = recordings.vehicles(recorded, slice(-1)), jnp.asarray(recorded["W"][:-1])
    after, _ = step(before, wind, jnp.asarray(recorded["A"], jnp.int32), recordings.conditions(recorded))
    return recordings.largest_differences(after, recorded, slice(1, None))


def noise(seed):
    recorded = recordings.load(f"steps_seed{seed}")
    at = jax.jit(jax.vmap(wind_noise.at, (None, 0, 0, 0, 0)))
    return largest(at(recordings.noise(recorded), *jnp.asarray(recorded["loc"].T)), recorded["err"])


def resets():
    recorded = recordings.load("resets_0_49")
    decoder = assets.decoder() if assets.available() else recordings.still_air()
    drawn = jax.jit(jax.vmap(lambda seed: start.draw(seed, decoder)))(jnp.arange(50))
    found = recordings.largest_differences(drawn.vehicle, recorded)
    found |= {name: largest(getattr(drawn.conditions, name), recorded[key])
              for name, key in (("latitude", "lat"), ("longitude", "lng"), ("infrared", "ir"))}  # fmt: skip
    found["permutations"] = largest(drawn.wind.noise.permutations, recorded["perm"])
    found["offsets"] = largest(drawn.wind.noise.offsets, recorded["off"])
    return found


def features(seed):
    """The recorded flight flown again: features, rewards and winds."""
    recorded = recordings.load(f"steps_seed{seed}")
    balloon = Balloon()

    def fly(actions):
        first, state = balloon.reset(environment.key(seed))

        def step(flight, action):
            seen, flight, reward, *_ = balloon.fly(flight, action)
            return flight, (seen, reward, flight.wind_here)

        _, (seen, rewards, winds) = jax.lax.scan(step, state.flight, actions)
        return jnp.concatenate([first[None], seen]), rewards, winds

    seen, rewards, winds = jax.jit(fly)(jnp.asarray(recorded["A"], jnp.int32))
    return {
        "features": largest(seen, recorded["F"]),
        "reward": largest(rewards, recorded["R"]),
        "wind": largest(winds, recorded["W"][1:]),
    }


def episodes():
    """Whole episodes from the recorded beginnings: which actions differ, and by how much paths and TWR50 do.

    The beginning's distance from the station is a float32 draw of which the last bit depends on how XLA compiles it.
    """
    recorded, beginnings = recordings.load("episodes"), recordings.load("resets_0_49")
    balloon, teacher = Balloon(), teachers.load(teachers.shipped("balloon"))
    flown = {"perciatelli44": agents.greedy(lambda seen: teacher.apply(teacher.params, seen))}
    flown |= {name: agents.BY_NAME[name]() for name in ("station_seeker", "stay")}
    result = {}
    for name, agent in flown.items():

        def episode(seed, x, y, agent=agent):
            launch = balloon.reset(environment.key(seed))[1].launch
            vehicle = launch.vehicle._replace(x=x, y=y)
            column, error = environment._measure(launch.wind, vehicle)
            flight = balloon._begin(launch._replace(vehicle=vehicle, column=column, error=error))
            light = light_at(flight.conditions, x, y, vehicle.seconds)
            seen = balloon._observe(flight, column, light)

            def step(carry, _):
                seen, flight = carry
                action, _ = agent.act(jax.random.key(0), (), seen)
                seen, flight, *_ = balloon.fly(flight, action)
                return (seen, flight), (action, flight.vehicle.x, flight.vehicle.y)

            return jax.lax.scan(step, (seen, flight), None, STEPS_OF_EPISODE)[1]

        seeds = [seed for seed in range(10) if f"{name}_{seed}" in recorded]
        places = jnp.asarray(beginnings["s_x"][seeds]), jnp.asarray(beginnings["s_y"][seeds])
        actions, x, y = jax.jit(jax.vmap(episode))(jnp.asarray(seeds, jnp.uint32), *places)
        for number, seed in enumerate(seeds):
            path = recorded[f"{name}_{seed}"]
            differing = np.flatnonzero(np.asarray(actions[number]) != recorded[f"{name}_{seed}_actions"]).tolist()
            off = np.hypot(x[number] - 1e3 * path[:, 0], y[number] - 1e3 * path[:, 1]).max()
            within = np.hypot(x[number], y[number]) <= 50_000.0
            twr50 = float(within.mean() - (np.hypot(path[:, 0], path[:, 1]) <= 50.0).mean())
            result[f"{name} {seed}"] = {"actions": differing, "metres": float(off), "twr50": twr50}
    return result


def belief(method):
    """A ring that has turned over twice, against a dense solve."""
    import dense_belief

    return dense_belief.largest_differences(wind_belief, method)


def main():
    wanted = sys.argv[1]
    if wanted == "episodes":
        print(json.dumps(episodes()))
        return
    found = {f"steps {seed}": steps(seed) for seed in (1, 2)}
    found |= {f"noise {seed}": noise(seed) for seed in (1, 2)}
    found |= {"resets": resets()} | {f"belief {method}": belief(method) for method in wind_belief.METHODS}
    if assets.available():
        found["features 2"] = features(2)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
