"""Physical constants, the flight system's, and the station-keeping task's. SI units."""

GRAVITY = 9.80665
GAS_CONSTANT = 8.3144621
"""J/(mol K)."""
AIR_MOLAR_MASS = 0.028964922481160
HELIUM_MOLAR_MASS = 0.004002602
"""kg/mol."""
AIR_GAS_CONSTANT = GAS_CONSTANT / AIR_MOLAR_MASS
"""J/(kg K)."""

ENVELOPE_VOLUME = 1804.0
"""m^3, of the envelope when it is just full."""
ENVELOPE_STRETCH = 0.0199
"""m^3/Pa, by which superpressure widens it."""
ENVELOPE_MASS = 68.5
ENVELOPE_DRAG = 0.25
BURST_SUPERPRESSURE = 2380.0
PAYLOAD_MASS = 92.5
LIFT_GAS = 6830.0
"""mol of helium."""
EMPTY_MASS = HELIUM_MOLAR_MASS * LIFT_GAS + ENVELOPE_MASS + PAYLOAD_MASS
"""kg, of the flight system without the air in its ballonet."""

NIGHT_LOAD, DAY_LOAD = 183.7, 120.4
"""W, of everything but the compressor."""
BATTERY_CAPACITY, BATTERY_AT_START = 3058.56, 2905.6
"""Wh."""

SUBSTEP_SECONDS, SUBSTEPS = 10, 18
STEP_SECONDS = SUBSTEP_SECONDS * SUBSTEPS
STEPS_OF_EPISODE = 960
"""48 hours."""
DAY_SECONDS = 86_400

DOWN, STAY, UP = 0, 1, 2
NUM_ACTIONS = 3
FLYING, OUT_OF_POWER, BURST, ZERO_PRESSURE = 0, 1, 2, 3
"""What a balloon's status is; all but the first end the episode."""

STATION_RADIUS = 50_000.0
"""m; within it the balloon keeps its station."""
EARTH_RADIUS = 6_371_000.0
FLOOR_METRES = 50_000 * 0.3048
"""The altitude below which the balloon must not fly."""
