"""The reference's recorded numbers as this library's structures, in the width of reals that JAX is set to."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrrl.environments.balloon import assets, atmosphere, safety
from purejaxrrl.environments.balloon.vehicle import Conditions, Vehicle
from purejaxrrl.environments.balloon.wind import OUTPUTS, Decoder
from purejaxrrl.environments.balloon.wind_noise import WindNoise

FOLDER = Path(__file__).parent / "recorded"
NEEDS_DATA = pytest.mark.skipif(not assets.available(), reason=f"the balloon's data are missing; {assets.COMMAND}")

REALS = {
    "x": "s_x", "y": "s_y", "pressure": "s_p", "ambient": "s_Ta", "internal": "s_Ti", "air": "s_n_air", "volume": "s_V",
    "superpressure": "s_sp", "compressor": "s_acs_w", "battery": "s_batt",
}  # fmt: skip
INTEGERS = {"seconds": "s_t", "elapsed": "s_el", "last_command": "s_last", "status": "s_status"}
LAYERS = {
    "sunrise": "s_ps_sunrise", "sunset": "s_ps_sunset", "power_paused": "s_ps_paused", "envelope": "s_env_s",
    "altitude": "s_alt_s",
}  # fmt: skip


@functools.cache
def load(name):
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as recorded:
        return dict(recorded)


def real(values):
    return jnp.asarray(values, jnp.zeros(()).dtype)


def share_of(lapse):
    """The mixing share that lapse rates came from."""
    return real((lapse[..., 0] + 0.007) / (0.007 - 0.0058))


def conditions(recorded):
    """Of one episode, or of many on a leading axis."""
    make = lambda lapse, *rest: Conditions(atmosphere.mixed(share_of(lapse)), *map(real, rest))  # noqa: E731
    parts = (recorded["lapse"], recorded["lat"], recorded["lng"], recorded["ir"])
    if np.ndim(recorded["lat"]) == 0:
        return make(*parts)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(make(*each) for each in zip(*parts, strict=True)))


def vehicles(recorded, rows=slice(None)):
    integers = {name: jnp.asarray(recorded[key][rows], jnp.int32) for name, key in INTEGERS.items()}
    layers = {name: jnp.asarray(recorded[key][rows], jnp.int32) for name, key in LAYERS.items()}
    layers["power_paused"] = layers["power_paused"] != 0
    reals = {name: real(recorded[key][rows]) for name, key in REALS.items()}
    return Vehicle(**reals, **integers, safety=safety.Safety(**layers))


def noise(recorded):
    return WindNoise(jnp.asarray(recorded["perm"], jnp.uint8), jnp.asarray(recorded["off"], jnp.float32))


def largest_differences(vehicle, recorded, rows=slice(None)):
    """By name; integers as well."""
    found = {name: getattr(vehicle, name) for name in REALS | INTEGERS}
    found |= {name: getattr(vehicle.safety, name) for name in LAYERS}
    keys = REALS | INTEGERS | LAYERS
    return {
        name: float(np.abs(np.asarray(found[name], np.float64) - recorded[keys[name]][rows]).max()) for name in keys
    }


def still_air():
    """A decoder that knows no wind, where the reference's is not at hand."""
    return Decoder((jnp.zeros((64, OUTPUTS), jnp.float32),), (jnp.zeros(OUTPUTS, jnp.float32),))
