"""Pictures of a flight: the path around the station, the altitude among the winds, the battery; as PNG and as GIF."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from purejaxrrl.environments.balloon import environment, features, suites, wind, wind_noise
from purejaxrrl.environments.balloon.constants import BATTERY_CAPACITY, STATION_RADIUS, STEP_SECONDS
from purejaxrrl.environments.balloon.environment import Balloon

_LEVELS = features.PRESSURES[14:153:4]
_STRIDE = 8
"""Steps between columns of wind."""
_FRAMES, _PICTURES_PER_SECOND = 80, 10
_HOURS_PER_STEP = STEP_SECONDS / 3600.0


@dataclasses.dataclass(frozen=True)
class Flight:
    """An episode to be drawn.

    x, y: km, `[steps + 1]`. pressure: hPa; battery: share, both likewise. twr50: share. winds: m/s, float `[columns, levels, 2]`, the true ones
    above and below the balloon at every eighth step.
    """

    seed: int
    x: np.ndarray
    y: np.ndarray
    pressure: np.ndarray
    battery: np.ndarray
    twr50: float
    winds: np.ndarray


def flight_of(balloon: Balloon, seed: int, path: suites.Path) -> Flight:
    """The episode of that seed along a path, `[960]` each, as `suites.fly` returns it for many."""
    steps = int(path.flying.sum())
    launch = jax.jit(lambda seed: balloon.reset(environment.key(seed))[1].flight)(jnp.uint32(seed))
    vehicle = launch.vehicle

    def along(first: Any, rest: np.ndarray) -> np.ndarray:
        return np.concatenate([[first], rest[:steps]])

    x, y = along(vehicle.x, path.x), along(vehicle.y, path.y)
    within = np.hypot(x, y)[1:] <= STATION_RADIUS
    return Flight(
        seed=seed,
        x=x / 1000.0,
        y=y / 1000.0,
        pressure=along(vehicle.pressure, path.pressure) / 100.0,
        battery=along(vehicle.battery / BATTERY_CAPACITY, path.battery),
        twr50=float(within.mean()),
        winds=_winds(launch.wind, x[::_STRIDE], y[::_STRIDE]),
    )


def _winds(of: wind.Wind, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The true wind, `[columns, levels, 2]`, at every eighth step."""

    def at(x, y, elapsed, pressure):
        forecast = wind.at_pressure(wind.forecast_column(of, x, y, elapsed), pressure)
        return forecast + wind_noise.at(of.noise, x, y, pressure, elapsed)

    column = jax.vmap(at, (None, None, None, 0))
    elapsed = jnp.arange(len(x)) * _STRIDE * STEP_SECONDS
    return np.asarray(
        jax.jit(jax.vmap(column, (0, 0, 0, None)))(jnp.asarray(x), jnp.asarray(y), elapsed, jnp.asarray(_LEVELS))
    )


def draw(path: Path, flight: Flight) -> None:
    """Writes a PNG of the whole flight."""
    figure, _ = _figure(flight)
    figure.savefig(path, dpi=110)


def animate(path: Path, flight: Flight) -> None:
    """Writes a GIF of the flight as it goes."""
    figure, show = _figure(flight)
    steps = np.unique(np.linspace(1, len(flight.x) - 1, _FRAMES).astype(int))
    animation = FuncAnimation(figure, lambda step: show(int(step)), frames=steps, blit=False)
    animation.save(path, writer=PillowWriter(fps=_PICTURES_PER_SECOND), dpi=70)


def _figure(flight: Flight) -> tuple[Figure, Any]:
    """The picture of the whole flight, and a function of a step that shows it up to there."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.35), height_ratios=(2.2, 1))
    plane, altitude, battery = (
        figure.add_subplot(grid[:, 0]),
        figure.add_subplot(grid[0, 1]),
        figure.add_subplot(grid[1, 1]),
    )
    hours = np.arange(len(flight.x)) * _HOURS_PER_STEP
    path = _draw_plane(plane, flight)
    level, colours = _draw_altitude(altitude, flight, hours)
    (charge,) = battery.plot(hours, 100 * flight.battery, color="tab:orange")
    battery.set(xlim=(0, 48), ylim=(0, 100), xlabel="hours", ylabel="battery, %")
    figure.colorbar(colours, ax=altitude, label="wind towards the station, m/s")
    title = figure.suptitle("")

    def show(step: int) -> list:
        path[0].set_data(flight.x[: step + 1], flight.y[: step + 1])
        path[1].set_data(flight.x[step : step + 1], flight.y[step : step + 1])
        level.set_data(hours[: step + 1], flight.pressure[: step + 1])
        charge.set_data(hours[: step + 1], 100 * flight.battery[: step + 1])
        share = np.mean(np.hypot(flight.x[1 : step + 1], flight.y[1 : step + 1]) <= STATION_RADIUS / 1000)
        title.set_text(f"seed {flight.seed}: {100 * share:.0f}% of {hours[step]:.0f} hours within 50 km of the station")
        return []

    show(len(flight.x) - 1)
    return figure, show


def _draw_plane(axes: Any, flight: Flight) -> tuple[Any, Any]:
    around = np.linspace(0, 2 * np.pi, 200)
    axes.fill(50 * np.cos(around), 50 * np.sin(around), color="tab:green", alpha=0.2, linewidth=0)
    axes.plot(0, 0, "+", color="tab:green", markersize=10)
    axes.plot(flight.x[0], flight.y[0], "o", color="0.5", markersize=5)
    (line,) = axes.plot([], [], color="tab:blue", linewidth=1)
    (here,) = axes.plot([], [], "o", color="tab:red", markersize=6)
    reach = 1.08 * max(60.0, np.abs(flight.x).max(), np.abs(flight.y).max())
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="km east", ylabel="km north")
    return line, here


def _draw_altitude(axes: Any, flight: Flight, hours: np.ndarray) -> tuple[Any, Any]:
    x, y = flight.x[::_STRIDE], flight.y[::_STRIDE]
    distance = np.maximum(np.hypot(x, y), 1e-3)
    towards = -(flight.winds[..., 0] * (x / distance)[:, None] + flight.winds[..., 1] * (y / distance)[:, None])
    limit = max(1.0, float(np.abs(towards).max()))
    colours = axes.pcolormesh(
        hours[::_STRIDE], _LEVELS / 100, towards.T, cmap="RdYlGn", vmin=-limit, vmax=limit, shading="nearest"
    )
    (line,) = axes.plot([], [], color="black", linewidth=1.2)
    axes.set(xlim=(0, 48), ylim=(_LEVELS[-1] / 100, _LEVELS[0] / 100), ylabel="pressure, hPa")
    return line, colours
