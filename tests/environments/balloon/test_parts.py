"""The simulator's parts in float32, against what was recorded and against formulas in float64."""

import dense_belief
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recordings
from recordings import NEEDS_DATA

from purejaxrrl.environments.balloon import (
    assets,
    atmosphere,
    dynamics,
    pressure_range,
    reference_random,
    safety,
    simplex,
    start,
    sun,
    wind,
    wind_belief,
    wind_noise,
)
from purejaxrrl.environments.balloon.constants import DOWN, STAY, UP


@pytest.fixture(params=[1, 2])
def recorded(request):
    return recordings.load(f"steps_seed{request.param}")


def test_the_atmospheres_layers_are_the_references(recorded):
    air = jax.jit(atmosphere.mixed)(recordings.share_of(recorded["lapse"]))
    np.testing.assert_allclose(air.temperatures, recorded["Ttr"][:4], rtol=1e-6)
    np.testing.assert_allclose(air.pressures, recorded["Ptr"][:4], rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_difference_of_heights_keeps_its_digits_across_layers_too(share):
    """Against the formula in float64, within both layers and across their boundary."""
    air = atmosphere.mixed(jnp.float32(share))
    exact = _exact(np.asarray(air.lapse_rates, np.float64))
    boundary = exact[1][1]
    for pressure in (6000.0, 12_000.0, boundary - 0.4, boundary + 0.4):
        for change in (-1.0, 1.0):
            pressure = float(np.float32(pressure))
            found = atmosphere.height_difference(air, jnp.float32(pressure), jnp.float32(change))
            expected = _height(exact, pressure + change) - _height(exact, pressure)
            assert float(found) == pytest.approx(expected, rel=2e-5)


def _exact(rates):
    temperatures, pressures = [300.0], [108_870.8213]
    for rate, thickness in zip(rates, (17_610.0, 4000.0), strict=False):
        temperatures.append(temperatures[-1] + rate * thickness)
        pressures.append(pressures[-1] * (temperatures[-1] / temperatures[-2]) ** (-9.80665 / (287.052874 * rate)))
    return temperatures, pressures, rates


def _height(air, pressure):
    temperatures, pressures, rates = air
    layer = 0 if pressure > pressures[1] else 1
    exponent = -287.052874 * rates[layer] / 9.80665
    base = [-610.0, 17_000.0][layer]
    return base + ((pressure / pressures[layer]) ** exponent - 1) * temperatures[layer] / rates[layer]


def test_a_step_is_the_references_but_for_rounding(recorded):
    before = recordings.vehicles(recorded, slice(-1))
    step = jax.jit(jax.vmap(dynamics.step, (0, 0, 0, None)))
    actions = jnp.asarray(recorded["A"], jnp.int32)
    after, _ = step(before, recordings.real(recorded["W"][:-1]), actions, recordings.conditions(recorded))
    found = recordings.largest_differences(after, recorded, slice(1, None))
    assert all(found[name] == 0 for name in recordings.INTEGERS | recordings.LAYERS)
    bounds = {"x": 0.05, "y": 0.05, "pressure": 0.02, "ambient": 1e-3, "internal": 1e-3, "air": 0.02, "volume": 1e-3}
    bounds |= {"superpressure": 0.05, "compressor": 0.01, "battery": 2e-3}
    assert {name: found[name] for name in bounds if found[name] > bounds[name]} == {}
    assert np.median(np.abs(np.asarray(after.pressure) - recorded["s_p"][1:])) < 5e-3


def test_a_flight_stops_in_the_substep_in_which_it_ends():
    recorded = recordings.load("steps_seed1")
    vehicle = jax.tree.map(lambda leaf: leaf[0], recordings.vehicles(recorded))
    empty = vehicle._replace(battery=recordings.real(0.4), seconds=vehicle.safety.sunset + 3600)
    step = jax.jit(dynamics.step)
    wind_here = jnp.asarray([10.0, 0.0])
    after, _ = step(empty, wind_here, jnp.int32(STAY), recordings.conditions(recorded))
    assert int(after.status) == 1 and float(after.battery) == 0.0
    substeps = int(after.elapsed) // 10
    assert substeps == 1  # 183.7 W for 10 s are 0.51 Wh
    assert float(after.x - empty.x) == pytest.approx(100.0 * substeps, abs=0.1)
    again, _ = step(after, wind_here, jnp.int32(STAY), recordings.conditions(recorded))
    assert float(again.x) == float(after.x) and int(again.elapsed) == int(after.elapsed)


def test_the_compressors_table_is_read_as_the_references_reads_it():
    """Thirteen rows of four, not four of thirteen: at ratio 1.05 and 100 W the first number, at 1.35 and 400 W the last."""
    watts, efficiency = jax.vmap(dynamics.compressor_at)(jnp.asarray([1.0, 1.05, 1.075, 1.35, 1.5]))
    np.testing.assert_allclose(watts, [100.0, 100.0, 133.333, 400.0, 400.0], rtol=1e-5)
    np.testing.assert_allclose(efficiency, [0.4, 0.4, 0.2 * 2 / 3, 0.13, 0.13], rtol=1e-4)


@pytest.mark.parametrize(
    ("was", "superpressure", "becomes", "down"),
    [
        (safety.NOMINAL, 140.0, safety.LOW_CRITICAL, UP),
        (safety.NOMINAL, 240.0, safety.LOW, STAY),
        (safety.NOMINAL, 290.0, safety.NOMINAL, DOWN),
        (safety.LOW, 290.0, safety.LOW, STAY),
        (safety.LOW_CRITICAL, 290.0, safety.LOW, STAY),
        (safety.LOW, 310.0, safety.NOMINAL, DOWN),
        (safety.NOMINAL, 2100.0, safety.NOMINAL, DOWN),
        (safety.HIGH_CRITICAL, 2100.0, safety.HIGH, STAY),
        (safety.NOMINAL, 2140.0, safety.HIGH, STAY),
        (safety.NOMINAL, 2240.0, safety.HIGH_CRITICAL, UP),
    ],
)
def test_the_envelope_layer(was, superpressure, becomes, down):
    layers = safety.at_start(jnp.int32(90_000), jnp.int32(40_000))._replace(envelope=jnp.int32(was))
    after, command = safety.effective(
        layers, jnp.int32(DOWN), jnp.int32(0), jnp.float32(3000.0), jnp.float32(superpressure), jnp.float32(17_000.0)
    )
    assert (int(after.envelope), int(command)) == (becomes, down)


@pytest.mark.parametrize(
    ("was", "height", "becomes", "down"),
    [
        (0, 15_200.0, 2, UP),
        (0, 15_300.0, 1, STAY),
        (0, 15_450.0, 0, DOWN),
        (2, 15_450.0, 1, STAY),
        (1, 15_600.0, 0, DOWN),
    ],
)
def test_the_altitude_layer(was, height, becomes, down):
    layers = safety.at_start(jnp.int32(90_000), jnp.int32(40_000))._replace(altitude=jnp.int32(was))
    after, command = safety.effective(
        layers, jnp.int32(DOWN), jnp.int32(0), jnp.float32(3000.0), jnp.float32(1000.0), jnp.float32(height)
    )
    assert (int(after.altitude), int(command)) == (becomes, down)


@pytest.mark.parametrize(
    ("was", "hours_to_sunrise", "charge", "night", "paused"),
    [
        (False, 10.0, 1800.0, True, True),  # 1,837 Wh until sunrise
        (False, 10.0, 1950.0, True, False),
        (True, 1.0, 3000.0, True, True),
        (True, 20.0, 100.0, False, True),
        (True, 20.0, 200.0, False, False),
        (False, 20.0, 10.0, False, False),
    ],
)
def test_the_power_layer(was, hours_to_sunrise, charge, night, paused):
    sunrise = int(3600 * hours_to_sunrise)
    layers = safety.Safety(
        *map(jnp.int32, (sunrise, sunrise + 3600 * (1 if night else -1))), jnp.bool_(was), *[jnp.int32(0)] * 2
    )
    after, command = safety.effective(
        layers, jnp.int32(DOWN), jnp.int32(0), jnp.float32(charge), jnp.float32(1000.0), jnp.float32(17_000.0)
    )
    assert (bool(after.power_paused), int(command)) == (paused, STAY if paused else DOWN)


def test_the_sun_is_where_the_reference_saw_it(recorded):
    places = jax.vmap(lambda x, y: sun.place(recordings.real(recorded["lat"]), recordings.real(recorded["lng"]), x, y))
    place = places(recordings.real(recorded["s_x"]), recordings.real(recorded["s_y"]))
    seconds = jnp.asarray(recorded["s_t"], jnp.int32)
    light = jax.jit(sun.sunlight)(place, seconds)
    np.testing.assert_allclose(light.elevation, recorded["F"][:, 2] * 180.0 - 90.0, atol=1e-4)
    rise, fall = jax.jit(jax.vmap(sun.next_sunrise_and_sunset))(place, seconds)
    rise, fall, now = (np.asarray(each, np.float64) for each in (rise, fall, seconds))
    day = fall < rise
    begun = np.where(day, rise, fall) - 86_400
    cycle = np.pi * ((now - begun) / (np.minimum(rise, fall) - begun) + ~day)
    # One sunset in 520 is found three minutes from where float64 finds it.
    differs = np.abs(np.sin(cycle) - recorded["F"][:, 3]) > 1e-5
    assert differs.sum() <= 2 and np.abs(np.cos(cycle) - recorded["F"][:, 4]).max() < 0.02


def test_random_bits_are_jaxs_and_do_not_depend_on_its_flag():
    with jax.threefry_partitionable(False):
        key = jax.random.key(7, impl="threefry2x32")
        expected = [jax.random.key_data(jax.random.split(key, 5)), jax.random.bits(key, (7,), jnp.uint32)]
        expected += [jax.random.uniform(key, (6,)), jax.random.normal(key, (6,))]
    raw = reference_random.key_of_seed(7)
    for flag in (True, False):
        with jax.threefry_partitionable(flag):
            found = [reference_random.split(raw, 5), reference_random.bits(raw, 7)]
            found += [reference_random.uniform(raw, 6), reference_random.normal(raw, 6)]
        for one, other in zip(found[:3], expected[:3], strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(found[3], expected[3], rtol=1e-6)


def test_the_noise_is_opensimplexs(recorded):
    at = jax.jit(jax.vmap(wind_noise.at, (None, 0, 0, 0, 0)))
    found = at(recordings.noise(recorded), *recordings.real(recorded["loc"].T))
    np.testing.assert_allclose(found, recorded["err"], atol=4e-4)


def test_permutations_are_permutations_and_differ():
    found = np.asarray(jax.vmap(simplex.permutation)(jnp.asarray([0, 1, 1_634_753_848], jnp.uint32)))
    assert all((np.sort(each) == np.arange(256)).all() for each in found)
    assert not (found[0] == found[1]).all()


@pytest.mark.parametrize(
    ("method", "mean_bound", "variance_bound"), [("cholesky", 2e-3, 2e-4), ("updated_inverse", 2e-2, 2e-3)]
)
def test_the_belief_is_a_dense_solves_but_for_rounding(method, mean_bound, variance_bound):
    mean, variance = dense_belief.largest_differences(wind_belief, method)
    assert mean < mean_bound and variance < variance_bound, (mean, variance)


@pytest.mark.parametrize("method", wind_belief.METHODS)
def test_accelerators_do_not_round_the_factors_of_products(method):
    """As they do by default, to 10 or 7 bits: the belief's are differences of which little is left."""
    belief, place = wind_belief.empty(jnp.float32), jnp.ones(4)
    programs = (
        jax.jit(lambda belief: wind_belief.observe(belief, place, jnp.ones(2), method)).lower(belief),
        jax.jit(lambda belief: wind_belief.query(belief, place, jnp.linspace(5e3, 1.4e4, 9), method)).lower(belief),
        jax.jit(wind.at_pressure).lower(jnp.ones((10, 2)), jnp.float32(6e3)),
    )
    products = [line for program in programs for line in program.as_text().splitlines() if "dot_general" in line]
    assert len(products) >= 3 and all("precision = [HIGHEST, HIGHEST]" in line for line in products), products


@pytest.mark.parametrize("method", wind_belief.METHODS)
def test_lapack_has_no_part_in_the_belief(method):
    """Its kernels for batches can stop a machine of two cores for good (jaxlib 0.10)."""
    beliefs = jax.tree.map(lambda leaf: jnp.stack([leaf] * 8), wind_belief.empty(jnp.float32))
    ask = jax.vmap(lambda belief: wind_belief.query(belief, jnp.ones(4), jnp.linspace(5e3, 1.4e4, 9), method))
    assert "custom_call" not in jax.jit(ask).lower(beliefs).as_text()


def test_no_atmosphere_lets_a_balloon_fly_beyond_the_levels_that_are_computed():
    shares = jnp.linspace(0.0, 1.0, 101)
    air = jax.vmap(atmosphere.mixed)(shares)
    floors = jax.vmap(atmosphere.floor_pressure)(air)
    assert float(floors.max()) <= pressure_range.MOST
    levels = jax.vmap(lambda floor: jnp.linspace(1000.0, floor, 20))(floors)
    one = jnp.zeros(101)
    ceilings = jax.vmap(pressure_range._empty_ballonet)(start.Conditions(air, one, one, one), levels)
    assert float(ceilings.min()) >= pressure_range.LEAST


@NEEDS_DATA
def test_the_forecast_is_the_references():
    recorded = recordings.load("steps_seed1")
    drawn = jax.jit(lambda: wind.draw(_wind_key(1), assets.decoder()))()
    places, times = recordings.real(np.linspace(-5e5, 5e5, 21)), jnp.arange(9) * 21_600
    column = lambda x, y, elapsed: wind.forecast_column(drawn, x, y, elapsed)  # noqa: E731
    for axis in (2, 1, 0):
        column = jax.vmap(column, tuple(0 if axis == each else None for each in range(3)))
    found = jax.jit(column)(places, places, times).transpose(0, 1, 3, 2, 4)
    np.testing.assert_allclose(found, recorded["field"], atol=2e-4)


def _wind_key(seed):
    arena_key = reference_random.split(reference_random.key_of_seed(seed))[1]
    balloon_key = reference_random.split(arena_key, 3)[0]
    return reference_random.split(reference_random.split(balloon_key, 6)[0])[1]


def test_the_wind_beyond_the_field_is_its_edges_and_its_time_turns_back():
    stream = jax.random.normal(jax.random.key(0), (7, 7, 10, 9))
    blown = wind.Wind(stream, recordings.noise(recordings.load("steps_seed1")))
    column = jax.jit(lambda x, y, elapsed: wind.forecast_column(blown, x, y, elapsed))
    hour = 3600
    np.testing.assert_allclose(column(9e5, -7e5, 0), column(5e5, -5e5, 0), atol=1e-5)
    np.testing.assert_allclose(column(1e5, 1e5, 50 * hour), column(1e5, 1e5, 46 * hour), atol=1e-5)
    assert np.abs(column(1e5, 1e5, 47 * hour) - column(1e5, 1e5, 46 * hour)).max() > 1e-3


def test_beginnings_are_the_references_but_for_rounding():
    recorded = recordings.load("resets_0_49")
    decoder = recordings.still_air()
    drawn = jax.jit(jax.vmap(lambda seed: start.draw(seed, decoder)))(jnp.arange(50, dtype=jnp.uint32))
    found = recordings.largest_differences(drawn.vehicle, recorded)
    assert all(found[name] == 0 for name in recordings.INTEGERS | recordings.LAYERS), found
    bounds = {
        "x": 0.06,
        "y": 0.06,
        "pressure": 0.02,
        "ambient": 1e-3,
        "internal": 1e-3,
        "air": 0.05,
        "superpressure": 0.02,
    }
    assert {name: found[name] for name in bounds if found[name] > bounds[name]} == {}
    np.testing.assert_allclose(drawn.conditions.infrared, recorded["ir"], rtol=1e-6)
    assert (np.asarray(drawn.wind.noise.permutations) == recorded["perm"]).all()
    np.testing.assert_array_equal(drawn.wind.noise.offsets, recorded["off"])
