"""Scoring rules that no table row expresses: one function a game.

Each takes the state before the frame, the state that the tables give after it (`rules.py`) and the RAM (int32 [128], or
[256] with the cartridge's), and returns the state after the frame. `lives` is set afterwards, from `held_lives`.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from purejaxrrl.environments.atari.games.catalogue import GAMES
from purejaxrrl.environments.atari.games.ram_values import CARTRIDGE_RAM
from purejaxrrl.environments.atari.games.rule_state import RuleState

_replace = dataclasses.replace


def _peek(ram: jax.Array, address: int) -> jax.Array:
    return ram[address & 0x7F]


def _bcd(ram: jax.Array, address: int, higher: int | None = None) -> jax.Array:
    value = _peek(ram, address)
    value = 10 * (value >> 4) + (value & 15)
    return value if higher is None else value + 100 * _bcd(ram, higher)


def _signed(value: jax.Array) -> jax.Array:
    """A byte, or a sum of bytes that wraps, as C's signed char."""
    return ((value + 128) & 255) - 128


def adventure(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """1 for bringing the chalice home, which ends the game; the ALE never takes that reward back."""
    return _replace(after, reward=jnp.where(_peek(ram, 0xB9) == 0x12, 1, before.reward))


def backgammon(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Won or lost when one side has borne off 15; the counts must add up, for the board is also redrawn."""
    board = jnp.concatenate([ram[0x01:0x0E], ram[0x0F:0x1C]])
    pieces = _signed(board)
    player_out, computer_out = _signed(-_signed(_peek(ram, 0x80))), _signed(_peek(ram, 0x8E))
    computer_in, player_in = _signed(jnp.maximum(pieces, 0).sum()), _signed(jnp.maximum(-pieces, 0).sum())
    valid = (computer_in + computer_out == 15) & (player_in + player_out == 15)
    won, lost = valid & (player_out == 15), valid & (computer_out == 15)
    return _replace(
        after, reward=jnp.where(won, 1, jnp.where(lost, -1, before.reward)), game_over=before.game_over | won | lost
    )


def beam_rider(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """A life is gone only when the explosion is over."""
    lives = _peek(ram, 0x85) + 1
    exploding = (lives == before.held_lives - 1) & (_peek(ram, 0x8C) != 1)
    return _replace(after, held_lives=jnp.where(exploding, before.held_lives, lives))


def casino(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Stud poker (mode 3) ends when its award is paid, the others when the chips or the bet are gone."""
    disabled, bet = (_peek(ram, 0xD3) & 0x80) != 0, _bcd(ram, 0x9E)
    poker = _peek(ram, 0xD4) == 3
    over = jnp.where(poker, (after.score > 0) & (_peek(ram, 0x9E) == 0xAA), (after.score == 0) | ((bet > 0) & disabled))
    return _replace(after, reward=jnp.where(poker | ~disabled, after.reward, before.reward), game_over=over)


def darkchambers(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """The game is over when the level or the score falls, or health is gone. memory: level."""
    level, score = _peek(ram, 0xD5), 10 * _bcd(ram, 0xCC, 0xCF)
    level_fell, score_fell = level < before.memory[0], score < before.score
    kept = level_fell | score_fell
    dead = ~level_fell & ((_peek(ram, 0xCA) & 0x1F) == 0)
    return _replace(
        after,
        reward=jnp.where(kept, 0, score - before.score),
        score=jnp.where(kept, before.score, score),
        game_over=before.game_over | kept | dead,
        memory=(jnp.where(level_fell, before.memory[0], level), *before.memory[1:]),
    )


def enduro(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Cars passed: the game counts down from 200 on the first day, from 300 on the others."""
    day, to_pass = _peek(ram, 0xAD), _bcd(ram, 0xAB, 0xAC)
    score = jnp.where(day == 0, 0, jnp.where(day == 1, 200, 300 * day - 100) - to_pass)
    return _replace(after, score=score, reward=score - before.score)


def hangman(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """A word won or lost ends the game."""
    return _replace(after, game_over=after.game_over | (after.reward != 0))


def haunted_house(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """-1 a match struck, 100 for leaving with the urn."""
    struck, escaped = after.score != before.score, _peek(ram, 0x99) == 0x44
    return _replace(after, reward=jnp.where(escaped, 100, 0) - struck.astype(jnp.int32))


def klax(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Over with too many misses or with all 25 places of the bin taken."""
    padded = jnp.pad(ram, (0, 2 * CARTRIDGE_RAM - ram.shape[0]))
    misses, most = padded[CARTRIDGE_RAM + 0x6E], padded[CARTRIDGE_RAM + 0x69]
    places = ram[0x33 : 0x33 + 25]
    full = ~((places == 0) | (places == 2) | (places == 6) | (places == 10) | (places == 14)).any()
    over = ((most > 0) & (misses == most)) | (full & (_peek(ram, 0xA8) == 4))
    return _replace(after, game_over=after.game_over | over)


def miniature_golf(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Par less strokes at the end of a hole. The left number shows strokes, or the hole's par is shown on the right.

    score: the hole; memory: its par, strokes that scrolled out, strokes shown, strokes when the hole began.
    """
    par, hits, shown, at_start = before.memory
    left, right, hole = _bcd(ram, 0x87), _bcd(ram, 0x88), _bcd(ram, 0xAF)
    changed = hole != before.score
    strokes = shown + hits - at_start
    reward = jnp.where(changed & (strokes > 0), par - strokes, 0)
    hits, at_start = jnp.where(changed, 0, hits), jnp.where(changed, shown, at_start)
    par_shown = right != 0
    hits = jnp.where(~par_shown & (left < shown), hits + shown, hits)
    return _replace(
        after,
        reward=reward,
        score=hole,
        game_over=before.game_over | (changed & (hole == 0)),
        memory=(jnp.where(par_shown, right, par), hits, jnp.where(par_shown, shown, left), at_start),
    )


def othello(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Over when nobody could move for 51 frames. memory: frames without input."""
    waited = jnp.where(_peek(ram, 0xC0) == 0, before.memory[0] + 1, 0)
    return _replace(after, game_over=waited > 50, memory=(waited, *before.memory[1:]))


def qbert(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """A life is lost when the counter falls by one; other changes of it are none."""
    lost = _signed(before.previous) - 1 == _signed(after.previous)
    return _replace(after, held_lives=before.held_lives - lost.astype(jnp.int32))


def superman(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Seconds left of 99:59 when Clark Kent is back at the Daily Planet."""
    seconds = 60 * _bcd(ram, 0xE3) + _bcd(ram, 0xE2)
    at_work = (_peek(ram, 0x80) == 0xAC) & (_peek(ram, 0x81) == 0xF2) & ((_peek(ram, 0x9F) & 0x40) != 0)
    return _replace(after, reward=jnp.where(at_work, 99 * 60 + 59 - seconds, 0), game_over=at_work)


def tennis(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Games won count, else points within a game. score: difference in games; memory: difference in points."""
    mine, theirs = _peek(ram, 0xC7), _peek(ram, 0xC8)
    games, points = mine - theirs, _peek(ram, 0xC5) - _peek(ram, 0xC6)
    reward = jnp.where(games != before.score, games - before.score, points - before.memory[0])
    over = ((mine >= 6) & (games >= 2)) | ((theirs >= 6) & (-games >= 2)) | (mine == 7) | (theirs == 7)
    return _replace(after, reward=reward, score=games, game_over=over, memory=(points, *before.memory[1:]))


def tic_tac_toe_3d(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Won or lost when the program reaches the routine that shows the winner; drawn with all 64 places taken."""
    won_or_lost = (_peek(ram, 0xFF) == 0xF3) & (_peek(ram, 0xFE) == 0x10)
    reward = jnp.where(_peek(ram, 0xE1) == 0x08, 1, -1)
    full = (ram[0x1A:0x5A] != 0).all()
    return _replace(after, reward=jnp.where(won_or_lost, reward, 0), game_over=before.game_over | won_or_lost | full)


def video_checkers(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Over when one side has no piece left, which loses, or wins in the reversed game. memory: whether reversed."""
    squares = jnp.concatenate([ram[0x00:0x08], ram[0x09:0x11], ram[0x12:0x1A], ram[0x1B:0x23]])
    no_black = ~((squares == 0x10) | (squares == 0x20)).any()
    no_white = ~((squares == 0x90) | (squares == 0xA0)).any()
    sign = jnp.where(before.memory[0] == 1, -1, 1)
    return _replace(
        after,
        reward=jnp.where(no_black, -sign, jnp.where(no_white, sign, before.reward)),
        game_over=before.game_over | no_black | no_white,
    )


def video_chess(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Checkmate, looked for when it is white's turn."""
    turn, mate = _peek(ram, 0xE1) == 0x82, _peek(ram, 0xEE)
    won, lost = turn & (mate == 0), turn & (mate == 1)
    return _replace(
        after, reward=won.astype(jnp.int32) - lost.astype(jnp.int32), game_over=before.game_over | won | lost
    )


def video_cube(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Faces of one colour; -1 when time is up (the tables' edge)."""
    faces = ram[0x20 : 0x20 + 54].reshape(6, 9)
    complete = (faces == faces[:, :1]).all(1).sum().astype(jnp.int32)
    timed_out = after.game_over
    return _replace(
        after,
        reward=jnp.where(timed_out, -1, complete - before.score),
        score=complete,
        game_over=timed_out | (complete == 6),
    )


def word_zapper(before: RuleState, after: RuleState, ram: jax.Array) -> RuleState:
    """Nothing changes, not even the last reward, while the clock shows 0."""
    running = _bcd(ram, 0xCF) > 0
    score = 2 - _signed(_peek(ram, 0xDC))
    over = (score == 3) | (_bcd(ram, 0xDE) == 0)
    return _replace(
        after,
        reward=jnp.where(running, score - before.score, before.reward),
        score=jnp.where(running, score, before.score),
        game_over=jnp.where(running, over, before.game_over),
    )


RULES = {
    rule.__name__: rule
    for rule in (
        adventure,
        backgammon,
        beam_rider,
        casino,
        darkchambers,
        enduro,
        hangman,
        haunted_house,
        klax,
        miniature_golf,
        othello,
        qbert,
        superman,
        tennis,
        tic_tac_toe_3d,
        video_checkers,
        video_chess,
        video_cube,
        word_zapper,
    )
}

FIRST_REVERSED_MODE = 11
"""Modes of Video Checkers from here on are those in which losing all pieces wins."""


def initial_memory(game_id: jax.Array | int, mode: jax.Array | int) -> jax.Array:
    """The first memory at a reset: int32 scalar."""
    reversed_checkers = (game_id == GAMES["video_checkers"].game_id) & (jnp.asarray(mode) >= FIRST_REVERSED_MODE)
    return reversed_checkers.astype(jnp.int32)
