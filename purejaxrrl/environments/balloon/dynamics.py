"""Three minutes of a balloon's flight: 18 Euler steps of 10 s, in a wind that is taken once, at their beginning."""

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.balloon import atmosphere, safety, sun, thermal
from purejaxrrl.environments.balloon.constants import (
    AIR_MOLAR_MASS,
    BATTERY_CAPACITY,
    BURST,
    BURST_SUPERPRESSURE,
    DAY_LOAD,
    DOWN,
    EMPTY_MASS,
    ENVELOPE_DRAG,
    FLYING,
    GAS_CONSTANT,
    GRAVITY,
    NIGHT_LOAD,
    OUT_OF_POWER,
    SUBSTEP_SECONDS,
    SUBSTEPS,
    UP,
    ZERO_PRESSURE,
)
from purejaxrrl.environments.balloon.vehicle import (
    Conditions,
    Vehicle,
    light_at,
    pressure_ratio,
    volume_and_superpressure,
)

_VALVE_AREA, _VALVE_DRAG = np.pi * 0.04**2 / 4.0, 0.62
_EFFICIENCY = np.asarray([
    0.4, 0.4, 0.3, 0.2, 0.2, 0, 0, 0, 0, 0, 0, 0, 0,
    0.4, 0.3, 0.3, 0.30, 0.25, 0.23, 0.20, 0.15, 0.12, 0.10, 0, 0, 0,
    0, 0.3, 0.25, 0.25, 0.25, 0.20, 0.20, 0.20, 0.2, 0.15, 0.13, 0.12, 0.11,
    0, 0.23, 0.23, 0.23, 0.23, 0.23, 0.20, 0.20, 0.20, 0.18, 0.16, 0.15, 0.13,
]).reshape(13, 4)  # fmt: skip
"""Of the compressor, at pressure ratios 1.05 to 1.35 and powers of 100 to 400 W. Measured as 4 rows of 13; the reference's
interpolation reads it as 13 of 4, and the teacher learned to fly with that."""


def step(vehicle: Vehicle, wind: jax.Array, command: jax.Array, conditions: Conditions) -> tuple[Vehicle, sun.Sunlight]:
    """The balloon after one agent step, or after the substep in which its flight ended, and the sunlight there.

    Args:
      wind: m/s to the east and north, `[2]`.
      command: int32, DOWN, STAY or UP.
    """
    height = atmosphere.at_pressure(conditions.atmosphere, vehicle.pressure)[0]
    layers, effective = safety.effective(
        vehicle.safety, command, vehicle.seconds, vehicle.battery, vehicle.superpressure, height
    )
    # Place and time do not depend on what happens vertically.
    substeps = jnp.arange(SUBSTEPS + 1)
    moved = SUBSTEP_SECONDS * substeps.astype(wind.dtype)
    x, y = vehicle.x + moved * wind[0], vehicle.y + moved * wind[1]
    light = light_at(conditions, x, y, vehicle.seconds + SUBSTEP_SECONDS * substeps)

    def advance(carry, light):
        vehicle, done = carry
        flying = vehicle.status == FLYING
        after = _substep(vehicle, effective, light, conditions)
        return (jax.tree.map(lambda new, old: jnp.where(flying, new, old), after, vehicle), done + flying), None

    start = vehicle._replace(last_command=command.astype(jnp.int32), safety=layers)
    before = jax.tree.map(lambda part: part[:-1], light)
    (vehicle, done), _ = jax.lax.scan(advance, (start, jnp.int32(0)), before)
    spent = SUBSTEP_SECONDS * done
    vehicle = vehicle._replace(x=x[done], y=y[done], seconds=start.seconds + spent, elapsed=start.elapsed + spent)
    return vehicle, jax.tree.map(lambda part: part[done], light)


def _substep(vehicle: Vehicle, command: jax.Array, light: sun.Sunlight, conditions: Conditions) -> Vehicle:
    """What 10 s change but for place and time. Everything new follows from what was (explicit Euler)."""
    transmitted = sun.transmitted(light, vehicle.pressure)
    warming = thermal.warming(
        vehicle.volume,
        vehicle.internal,
        vehicle.ambient,
        vehicle.pressure,
        light.flux * transmitted,
        conditions.infrared,
    )
    volume, superpressure = volume_and_superpressure(vehicle.air, vehicle.internal, vehicle.pressure)
    compressor, mass_flow = _altitude_control(vehicle, command)
    by_day = light.elevation > sun.HORIZON
    charging = jnp.where(by_day, 210.0 * transmitted * light.panels, 0.0)
    load = jnp.where(by_day, DAY_LOAD, NIGHT_LOAD) + compressor
    battery = jnp.clip(vehicle.battery + (charging - load) * (SUBSTEP_SECONDS / 3600.0), 0.0, BATTERY_CAPACITY)
    status = jnp.where(superpressure > BURST_SUPERPRESSURE, BURST, vehicle.status)
    status = jnp.where(superpressure <= 0.0, ZERO_PRESSURE, status)
    status = jnp.where(battery <= 0.0, OUT_OF_POWER, status)
    return vehicle._replace(
        pressure=vehicle.pressure + SUBSTEP_SECONDS * _pressure_rate(vehicle, conditions),
        ambient=atmosphere.at_pressure(conditions.atmosphere, vehicle.pressure)[1],
        internal=vehicle.internal + SUBSTEP_SECONDS * warming,
        air=jnp.maximum(vehicle.air + SUBSTEP_SECONDS * mass_flow / AIR_MOLAR_MASS, 0.0),
        volume=volume,
        superpressure=superpressure,
        compressor=compressor,
        battery=battery,
        status=status.astype(jnp.int32),
    )


def _pressure_rate(vehicle: Vehicle, conditions: Conditions) -> jax.Array:
    """Pa/s: buoyancy against drag, at the speed at which they balance."""
    density = vehicle.pressure * AIR_MOLAR_MASS / (GAS_CONSTANT * vehicle.ambient)
    drag = ENVELOPE_DRAG * vehicle.volume ** (2.0 / 3.0)
    net_lift = density * vehicle.volume - EMPTY_MASS - AIR_MOLAR_MASS * vehicle.air
    direction = jnp.where(net_lift >= 0.0, 1.0, -1.0).astype(net_lift.dtype)
    climb = direction * jnp.sqrt(jnp.abs(2.0 * net_lift * GRAVITY / (density * drag)))
    return direction / atmosphere.height_difference(conditions.atmosphere, vehicle.pressure, direction) * climb


def _altitude_control(vehicle: Vehicle, command: jax.Array) -> tuple[jax.Array, jax.Array]:
    """W of the compressor and kg/s of air into the ballonet: it pumps to go down, and opens the valve to go up."""
    gas_density = (vehicle.superpressure + vehicle.pressure) * AIR_MOLAR_MASS / (GAS_CONSTANT * vehicle.internal)
    valve = -_VALVE_DRAG * _VALVE_AREA * jnp.sqrt(2.0 * vehicle.superpressure * gas_density)
    watts, efficiency = compressor_at(pressure_ratio(vehicle))
    down, up = command == DOWN, command == UP
    flow = jnp.where(down, efficiency * watts / 3600.0, jnp.where(up, valve, 0.0))
    return jnp.where(down, watts, 0.0), flow


def compressor_at(ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
    """W and kg/Wh at which the compressor works best against a pressure ratio."""
    watts = jnp.interp(ratio, jnp.asarray([1.05, 1.2, 1.25]), jnp.asarray([100.0, 300.0, 400.0]))
    row = jnp.clip((ratio - 1.05) / 0.025, 0.0, 12.0)
    column = (watts - 100.0) / 100.0
    upper_row, upper_column = jnp.clip(row.astype(jnp.int32), 0, 11), jnp.clip(column.astype(jnp.int32), 0, 2)
    along_row, along_column = row - upper_row, column - upper_column
    table = jnp.asarray(_EFFICIENCY, ratio.dtype)

    def between(row):
        return table[row, upper_column] * (1.0 - along_column) + table[row, upper_column + 1] * along_column

    return watts, between(upper_row) * (1.0 - along_row) + between(upper_row + 1) * along_row
