"""The Atari 2600 with a game in it, as `ale_py.ALEInterface` has it: one frame a call, jittable and vmappable."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrrl.environments.atari import (
    cartridge,
    controls,
    engines,
    machine,
    palettes,
    picture,
    randomness,
    raster,
    rom,
    scripts,
)
from purejaxrrl.environments.atari.engines import DRAW_ALL
from purejaxrrl.environments.atari.games import GAMES, GameSpec, rules
from purejaxrrl.environments.atari.scripts import Op, Script
from purejaxrrl.environments.batching import over_lanes
from purejaxrrl.errors import UserError

_LOADING, _PLAYING = 0, 1
_PAL_HEIGHT, _NTSC_LINES, _PAL_LINES = 250, 290, 342


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConsoleState:
    """A console between two frames; scalars unless said otherwise.

    machine: the hardware. rules: what the scoring rules remember. game: int32, place of the game in `Console.games`. paddle:
    int32, resistance of the first paddle. generated: int32, numbers drawn from the ALE's environment generator.
    """

    machine: machine.Machine
    rules: rules.RuleState
    game: jax.Array
    paddle: jax.Array
    generated: jax.Array

    @property
    def reward(self) -> jax.Array:
        """int32, of the last frame."""
        return self.rules.reward

    @property
    def lives(self) -> jax.Array:
        """int32."""
        return self.rules.lives

    @property
    def game_over(self) -> jax.Array:
        """bool; nothing more happens until a reset."""
        return self.rules.game_over

    @property
    def fault(self) -> jax.Array:
        """bool, sticky: the game has done something that is not emulated, and is no longer to be trusted."""
        return self.machine.fault


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Cabinet:
    """What is known of each of G games; a row for each, numpy. detecting: the hardware while the television format is not
    known. mode, difficulty: int32 [2, G], at `loadROM`, which knows only the defaults, and later. script: what is done at a reset,
    [2, G, ...] likewise. legal: bool [G, 18]. generator: uint32, the environment generator's numbers."""

    hardware: machine.Hardware
    detecting: machine.Hardware
    ports: controls.Ports
    switches: np.ndarray
    rules_id: np.ndarray
    mode: np.ndarray
    difficulty: np.ndarray
    legal: np.ndarray
    script: Script
    generator: np.ndarray


def hardware_of(roms: tuple[rom.Rom, ...], detecting: bool = False) -> machine.Hardware:
    """The hardware of some ROMs, a row for each. detecting: while the television format is not known."""
    words, cartridges = cartridge.pack(roms)
    pal = [one.pal and not detecting for one in roms]
    heights = [
        _PAL_HEIGHT if is_pal and one.height == 210 else one.height for one, is_pal in zip(roms, pal, strict=False)
    ]
    screen = raster.Screen(
        first_line=np.asarray([one.first_line for one in roms], np.int32),
        height=np.asarray(heights, np.int32),
        hmove_blanks=np.asarray([one.hmove_blanks for one in roms]),
        colour_loss=np.asarray(pal),
    )
    lines = np.asarray([_PAL_LINES if is_pal else _NTSC_LINES for is_pal in pal], np.int32)
    return machine.Hardware(words, cartridges, screen, lines)


def _cabinet(specs: tuple[GameSpec, ...], modes: tuple[int, ...], difficulties: tuple[int, ...], seed: int) -> _Cabinet:
    roms = tuple(rom.load(spec.name) for spec in specs)
    paddle_max = [spec.paddle_max or controls.PADDLE_MAX for spec in specs]
    ports = controls.Ports(
        *(
            np.asarray([getattr(one, field) for one in roms])
            for field in ("left_paddles", "right_paddles", "swap_paddles", "swap_ports")
        ),
        np.asarray(paddle_max, np.int32),
    )
    modes = np.asarray([[spec.default_mode for spec in specs], modes], np.int32)
    script = scripts.pack(
        [[scripts.boot_and_reset(spec, mode) for spec, mode in zip(specs, row, strict=True)] for row in modes.tolist()]
    )
    draws = bool((script.lines[..., 0] == Op.RANDOM_FRAMES).any())
    return _Cabinet(
        hardware=hardware_of(roms),
        detecting=hardware_of(roms, detecting=True),
        ports=ports,
        switches=np.asarray([one.switches for one in roms], np.int32),
        rules_id=np.asarray([spec.game_id for spec in specs], np.int32),
        mode=modes,
        difficulty=np.asarray([[0] * len(specs), difficulties], np.int32),
        legal=np.asarray([[action in spec.legal_actions for action in range(controls.ACTIONS)] for spec in specs]),
        script=script,
        generator=randomness.stream(seed) if draws else np.zeros(1, np.uint32),
    )


def _rows(tables, game: jax.Array):
    """The rows of the lanes' games."""
    return jax.tree.map(lambda table: jnp.asarray(table)[game], tables)


def lanes_of(hardware: machine.Hardware, game: jax.Array) -> machine.Hardware:
    """The hardware of lanes, given the row of each, int32 [L]."""
    rows = _rows(dataclasses.replace(hardware, words=np.zeros(hardware.maximum_lines.shape)), game)
    return dataclasses.replace(rows, words=jnp.asarray(hardware.words))


class Console:
    """The Atari 2600 with a game in it, equal to ale-py's, frame by frame: RAM, screen, reward, lives and game over.

    Functions are of one console; `jax.vmap` makes many, which run in lockstep as one program.

    Args:
      game: the game's name in `ale_py.roms`, such as "breakout", or several: each state then plays one of them.
      mode: a game mode that ale-py offers, or one for each game; the game's default unless given.
      difficulty: likewise, bit 0 the left difficulty switch, bit 1 the right one; 0 unless given.
      seed: ale-py's `random_seed`. Only Adventure's start depends on it.
      engine: what plays the frames, "kernel" or "portable", which are equal but for speed; what is fastest here unless given.

    Attributes:
      engine: which it is.
      identity: the arguments that were given or chosen, as text.
      games: the names. height: lines of `screen`; of the tallest, where there are several games.
      minimal_actions, legal_actions: values of ALE's action enum, those of any of the games.

    Raises:
      ValueError: a game, mode or difficulty that ale-py does not offer, or a ROM of the wrong checksum.
      ModuleNotFoundError: ale-py, whose wheel has the ROMs, is not installed.
      kernel.Unavailable: the kernel is asked for and cannot be had here.
    """

    def __init__(
        self,
        game: str | tuple[str, ...],
        mode: int | tuple[int, ...] | None = None,
        difficulty: int | tuple[int, ...] = 0,
        seed: int = 0,
        engine: str | None = None,
    ):
        self.games = (game,) if isinstance(game, str) else tuple(game)
        for name in self.games:
            rom.check_name(name, tuple(GAMES))
        specs = tuple(GAMES[name] for name in self.games)
        modes = tuple(spec.default_mode for spec in specs) if mode is None else _one_each(mode, len(specs))
        difficulties = _one_each(difficulty, len(specs))
        for spec, one, other in zip(specs, modes, difficulties, strict=False):
            _check_offered(spec, "mode", one, spec.modes)
            _check_offered(spec, "difficulty", other, (0, *spec.difficulties))
        self.engine = engines.choose(engine)
        self.identity = repr((self.games, modes, difficulties, seed, self.engine))
        self._tables = _cabinet(specs, modes, difficulties, seed)
        self.height = int(self._tables.hardware.screen.height.max())
        self.minimal_actions = tuple(sorted({action for spec in specs for action in spec.minimal_actions}))
        self.legal_actions = tuple(sorted({action for spec in specs for action in spec.legal_actions}))
        self._act = jax.jit(over_lanes(self._act_lanes))
        self._play = jax.jit(over_lanes(self._play_lanes))
        self._power_on = over_lanes(self._power_on_lanes)

    def reset(self, state: ConsoleState | None = None, game: int = 0, where: jax.Array | bool = True) -> ConsoleState:
        """`ALEInterface.reset_game` of `state`; without one, of a fresh `ALEInterface` after `loadROM`.

        game: place in `games` of the game that a fresh console plays. where: bool; if False, `state` comes back as it is.
        """
        if state is None:
            booting = self._power_on(jnp.asarray(game, jnp.int32))
            state = self._play(booting, jnp.int32(scripts.BOOT), jnp.int32(_LOADING))
        stop = self._tables.script.lines.shape[2] - 1
        return self._play(state, jnp.where(where, scripts.RESET_GAME, stop).astype(jnp.int32), jnp.int32(_PLAYING))

    def first_resets(self, number: int) -> list[ConsoleState]:
        """The states after each of the first `number` resets, games on the leading axis. Not to be traced: it compiles one
        program for all of them, which is quicker than one for each kind of reset."""
        state = jax.jit(jax.vmap(self._power_on))(jnp.arange(len(self.games)))
        play = jax.jit(jax.vmap(self._play, (0, None, None)))
        state, states = play(state, jnp.int32(scripts.BOOT), jnp.int32(_LOADING)), []
        for _ in range(number):
            state = play(state, jnp.int32(scripts.RESET_GAME), jnp.int32(_PLAYING))
            states.append(state)
        return states

    def shapes(self) -> ConsoleState:
        """A state's shapes and types, as `jax.ShapeDtypeStruct`s."""
        return jax.eval_shape(self._power_on, jax.ShapeDtypeStruct((), jnp.int32))

    def act(self, state: ConsoleState, action: jax.Array | int, draws: jax.Array | int = DRAW_ALL) -> ConsoleState:
        """One frame with `action` held, as `ALEInterface.act` does it: none once the game is over.

        action: int32, ALE's enum. Illegal ones are no-ops where traced; where static, ValueError. draws: what becomes of the
        picture, where the kernel plays; see `kernel.call.frame`.
        """
        if isinstance(action, (int, np.integer)) and action not in self.legal_actions:
            raise UserError(f"{action} is no action of {', '.join(self.games)}; those are {self.legal_actions}")
        return self._act(state, jnp.asarray(action, jnp.int32), jnp.asarray(draws, jnp.int32))

    def has_ended(self, state: ConsoleState) -> jax.Array:
        """Whether the last frame ended, rather than being given up; bool."""
        return ~state.machine.tia.partial

    def fresh_canvas(self, state: ConsoleState) -> raster.Canvas:
        """A canvas for two whole pictures of L consoles, where the kernel plays; see `kernel.call.fresh_canvas`."""
        heights = jnp.asarray(self._tables.hardware.screen.height)[state.game]
        return engines.kernel().fresh_canvas(state.machine.canvas, heights)

    def restore_canvas(self, where: jax.Array, before: ConsoleState, after: ConsoleState) -> raster.Canvas:
        """The canvas of `after`, in the lanes `where`, bool [L], that of `before`; of L consoles, where the kernel plays."""
        return engines.kernel().restore_canvas(where, before.machine.canvas, after.machine.canvas)

    def is_whole(self, state: ConsoleState) -> jax.Array:
        """Whether the last frame ended, and was drawn to the bottom of the picture; bool."""
        beam = state.machine.raster
        height = jnp.asarray(self._tables.hardware.screen.height)[state.game]
        drawn = beam.row * raster.CLOCKS + beam.column
        return self.has_ended(state) & (drawn >= height * raster.CLOCKS)

    def ram(self, state: ConsoleState) -> jax.Array:
        """The console's memory, uint8 [128]."""
        return state.machine.memory[..., : machine.RAM]

    def screen(self, state: ConsoleState) -> jax.Array:
        """Palette indices, uint8 [height, 160]; lines that a lower picture does not have are 0."""
        return self._screen(state.machine.canvas, state.machine.raster.buffer)

    @functools.cached_property
    def _screen(self):
        def lanes(canvas: raster.Canvas, buffer: jax.Array) -> jax.Array:
            lane = jnp.arange(buffer.shape[0])
            return picture.pixels(canvas.rows[lane, buffer], canvas.colours[lane, buffer])

        return over_lanes(lanes)

    def rgb(self, state: ConsoleState) -> jax.Array:
        """uint8 [height, 160, 3]."""
        is_pal = jnp.asarray(self._tables.hardware.screen.colour_loss)[state.game]
        return jnp.where(is_pal, jnp.asarray(palettes.PAL_RGB), jnp.asarray(palettes.NTSC_RGB))[self.screen(state)]

    def _frame(
        self,
        state: ConsoleState,
        hardware: machine.Hardware,
        inputs: machine.Inputs,
        enable: jax.Array,
        seen: jax.Array,
        draws: jax.Array | int = DRAW_ALL,
    ) -> ConsoleState:
        """A frame of the lanes that `enable` names, which the rules look at where `seen`."""
        options = {"draws": draws} if self.engine == "kernel" else {}
        hardware_state = engines.frame_of(self.engine)(state.machine, hardware, inputs, enable, **options)
        after = jax.vmap(functools.partial(rules.step, games=self.games))(
            jnp.asarray(self._tables.rules_id)[state.game], state.rules, hardware_state.memory
        )
        return dataclasses.replace(
            state, machine=hardware_state, rules=machine.select(enable & seen, after, state.rules)
        )

    def _act_lanes(self, state: ConsoleState, action: jax.Array, draws: jax.Array) -> ConsoleState:
        tables, game = self._tables, state.game
        enable = ~state.rules.game_over
        ports = _rows(tables.ports, game)
        action = self._legal(game, action)
        paddle = controls.turned(state.paddle, action, ports)
        inputs = controls.inputs(action, paddle, jnp.asarray(tables.difficulty)[_PLAYING, game], ports)
        acted = self._frame(state, lanes_of(tables.hardware, game), inputs, enable, enable, draws)
        return dataclasses.replace(
            acted,
            paddle=jnp.where(enable, paddle, state.paddle),
            generated=state.generated + 2,
            rules=dataclasses.replace(acted.rules, reward=jnp.where(enable, acted.rules.reward, 0)),
        )

    def _legal(self, game: jax.Array, action: jax.Array) -> jax.Array:
        known = (action >= 0) & (action < controls.ACTIONS)
        legal = jnp.asarray(self._tables.legal)[game, jnp.clip(action, 0, controls.ACTIONS - 1)]
        return jnp.where(known & legal, action, 0)

    def _power_on_lanes(self, game: jax.Array) -> ConsoleState:
        """The console when it is first switched on."""
        detecting = lanes_of(self._tables.detecting, game)
        hardware = machine.reset(machine.power_on(detecting, self.height), detecting)
        zero = jnp.zeros_like(game)
        return ConsoleState(hardware, self._fresh_rules(game, zero + _LOADING), game, zero, zero)

    def _fresh_rules(self, game: jax.Array, visit: jax.Array) -> rules.RuleState:
        mode = jnp.asarray(self._tables.mode)[visit, game]
        return jax.vmap(rules.initial)(jnp.asarray(self._tables.rules_id)[game], mode)

    def _play_lanes(self, state: ConsoleState, place: jax.Array, visit: jax.Array) -> ConsoleState:
        """Follows the games' scripts from a line, int32 [L], to their ends. visit: int32 [L], `_LOADING` or `_PLAYING`."""
        lines = jnp.asarray(self._tables.script.lines)[visit, state.game]
        lane, start = jnp.arange(place.shape[0]), -jnp.ones_like(place)

        def body(carry):
            state, place, left, remembered = carry
            line = dict(zip(scripts.FIELDS, jnp.moveaxis(lines[lane, place], 1, 0), strict=False))
            op, runs = line["op"], (line["op"] == Op.FRAMES) | (line["op"] == Op.RANDOM_FRAMES)
            number = jnp.asarray(self._tables.generator)[jnp.minimum(state.generated, len(self._tables.generator) - 1)]
            draws = (op == Op.RANDOM_FRAMES) & (left < 0)
            count = jnp.where(op == Op.RANDOM_FRAMES, 2 + (number % 256).astype(jnp.int32), line["count"])
            left = jnp.where(left < 0, count, left)
            byte = state.machine.memory[lane, line["index"]].astype(jnp.int32)
            conditions = jnp.asarray(self._tables.script.conditions)[visit, state.game, place]
            goes = (op == Op.JUMP) | (op == Op.UNCHANGED) & (byte == remembered)
            goes |= (op == Op.UNLESS) & jax.vmap(scripts.holds)(conditions, state.machine.memory)
            stays = runs & (left > 1) | (op == Op.STOP)
            state = self._scripted(state, line, runs, visit)
            state = dataclasses.replace(
                state,
                rules=machine.select(op == Op.RULES, self._fresh_rules(state.game, visit), state.rules),
                generated=state.generated + draws + 2 * (runs & (line["acts"] == 1)),
            )
            place = jnp.where(goes, line["target"], jnp.where(stays, place, place + 1))
            return state, place, jnp.where(stays, left - 1, start), jnp.where(op == Op.REMEMBER, byte, remembered)

        def unfinished(carry):
            return jnp.any(lines[lane, carry[1], 0] != Op.STOP)

        return jax.lax.while_loop(unfinished, body, (state, place, start, jnp.zeros_like(place)))[0]

    def _scripted(
        self, state: ConsoleState, line: dict[str, jax.Array], runs: jax.Array, visit: jax.Array
    ) -> ConsoleState:
        """What a line of a script does to the hardware: the power switch, or a frame where `runs`."""
        tables, game = self._tables, state.game
        hardware, ports = lanes_of(tables.hardware, game), _rows(tables.ports, game)
        powers, detects, acts = line["op"] == Op.POWER, line["detects"] == 1, line["acts"] == 1
        reset = jax.lax.cond(
            jnp.any(powers), lambda m: machine.select(powers, machine.reset(m, hardware), m), lambda m: m, state.machine
        )
        held = jnp.where(acts, self._legal(game, line["action"]), line["action"])
        enable = runs & ~(acts & state.rules.game_over)
        turned = controls.turned(state.paddle, held, ports)
        paddle = jnp.where(
            powers, controls.centred(ports), jnp.where(enable & (line["seen"] == 1), turned, state.paddle)
        )
        inputs = controls.inputs(held, paddle, jnp.asarray(tables.difficulty)[visit, game], ports)
        idle = controls.idle(jnp.asarray(tables.switches)[game], ports)
        inputs = jax.tree.map(lambda a, b: jnp.where(detects, a, b), idle, inputs)
        hardware = machine.choose_hardware(detects, lanes_of(tables.detecting, game), hardware)
        return self._frame(
            dataclasses.replace(state, machine=reset, paddle=paddle), hardware, inputs, enable, line["seen"] == 1
        )


def _one_each(value: int | tuple[int, ...], number: int) -> tuple[int, ...]:
    values = (value,) * number if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) != number:
        raise UserError(f"expected one mode or difficulty, or one for each of {number} games; got {values}")
    return values


def _check_offered(spec: GameSpec, what: str, value: int, offered: tuple[int, ...]) -> None:
    if value not in offered:
        raise UserError(f"{spec.name} has no {what} {value}; ale-py offers {offered}")
