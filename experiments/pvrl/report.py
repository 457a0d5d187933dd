"""The tables of a comparison, as Markdown, from written results alone."""

from collections.abc import Sequence
from typing import Any

import methods
import numpy as np
import searches
import tables
from results import Results, label

from purejaxrrl.environments import minatar
from purejaxrrl.evaluation import statistics

_LAST = 3
"""Evaluations whose mean is less noisy than the last one alone."""


def markdown(results: Results) -> str:
    """Final scores by game and together, differences of pairs, scores and lambda over training, and the checksums of what they were made with."""
    primary, weaning = _primary(results), _weaning_table(results)
    parts = [_game_table(results), _aggregate_table(results), _subsets_table(results), primary]
    parts += [_differences_table(results, reference) for reference in ("qdagger", methods.PRIMARY[0])]
    parts += [_course_table(results), weaning, _notes(results, bool(primary), bool(weaning))]
    return "\n\n".join(part for part in parts if part)


def _cell(scores: np.ndarray, statistic: Any = statistics.interquartile_mean) -> str:
    low, high = statistics.stratified_bootstrap_interval(scores, statistic)
    return f"{statistic(scores):.2f} ({low:.2f} to {high:.2f})"


def _game_table(results: Results) -> str:
    rows = []
    for method in results.methods:
        cells = [_cell(results.game_scores(game, method)[:, -1:]) for game in results.games]
        rows.append([results.titles[method], *cells])
    return tables.markdown(["method", *(label(results, game) for game in results.games)], rows)


def _aggregate_table(results: Results) -> str:
    summaries = statistics.interquartile_mean, statistics.median, statistics.mean, statistics.optimality_gap
    has_qdagger = "qdagger" in results.methods
    rows = []
    for method in results.methods:
        final = results.scores(method)[..., -1]
        cells = [_cell(final, statistic) for statistic in summaries]
        low, high = statistics.stratified_bootstrap_interval(final, statistics.share_of_tasks_above)
        cells.append(f"{statistics.share_of_tasks_above(final):.0%} ({low:.0%} to {high:.0%})")
        if has_qdagger:
            cells.append("" if method == "qdagger" else _improvement(results.scores("qdagger")[..., -1], final))
        rows.append([results.titles[method], *cells])
    titles = ["all games", "IQM", "median", "mean", "optimality gap", "games above the teacher"]
    return tables.markdown([*titles, *["P(QDagger is better)"] * has_qdagger], rows)


def _improvement(ours: np.ndarray, theirs: np.ndarray) -> str:
    low, high = statistics.stratified_bootstrap(statistics.probability_of_improvement, ours, theirs)
    return f"{statistics.probability_of_improvement(ours, theirs):.2f} ({low:.2f} to {high:.2f})"


def _subsets(results: Results) -> dict[str, list[str]]:
    """All games, where these are several, and those on which the last search had the methods' rates and not, where these are others."""
    if len(results.games) == 1:
        return {}
    seen = [game for game in results.games if game in searches.LAST_SEARCHED]
    rest = [game for game in results.games if game not in seen]
    subsets = {f"all {len(results.games)} games": results.games}
    if seen and rest:
        subsets[f"the {len(seen)} of the last search of rates"] = seen
        subsets[f"{', '.join(rest)} alone, which earlier searches saw"] = rest
    return subsets


def _subsets_table(results: Results) -> str:
    subsets = _subsets(results)
    if len(subsets) < 2:
        return ""
    places = [[results.games.index(game) for game in games] for games in subsets.values()]
    rows = [
        [results.titles[method], *(_cell(results.scores(method)[:, place, -1]) for place in places)]
        for method in results.methods
    ]
    return tables.markdown(["IQM", *subsets], rows)


def _difference(results: Results, method: str, other: str, games: Sequence[str], evaluations: int = 1) -> str:
    difference, low, high = statistics.paired_difference(*results.pairs(method, other, games, evaluations))
    return f"{difference:+.2f} ({low:+.2f} to {high:+.2f})"


def _differences_table(results: Results, reference: str) -> str:
    others = [method for method in results.methods if method != reference]
    if reference not in results.methods or not others:
        return ""
    columns = {game: [game] for game in results.games} | _subsets(results)
    longer = {"all, the last three": _LAST, "all, every evaluation": len(results.agent_steps)}
    rows = []
    for method in others:
        cells = [_difference(results, reference, method, games) for games in columns.values()]
        cells += [_difference(results, reference, method, results.games, number) for number in longer.values()]
        rows.append([results.titles[method], *cells])
    return tables.markdown([f"{results.titles[reference]} minus", *columns, *longer], rows)


def _primary(results: Results) -> str:
    """The one comparison that was chosen before it was run, which was for all games."""
    ours, papers = methods.PRIMARY
    if not {ours, papers} <= set(results.methods) or set(results.games) != set(minatar.GAMES):
        return ""
    pair = results.pairs(ours, papers, results.games)
    mean = statistics.mean_difference(*pair)
    low, high = statistics.stratified_bootstrap(statistics.mean_difference, *pair, paired=True)
    text = (
        f"Primary comparison: {results.titles[ours]} minus {results.titles[papers]}, all {len(results.games)} games: "
        f"{_difference(results, ours, papers, results.games)}. The difference of means, which leaves no run out: {mean:+.2f} ({low:+.2f} to "
        f"{high:+.2f}); of {pair[0].size} pairs {np.sum(pair[0] > pair[1])} are above 0 and {np.sum(pair[0] < pair[1])} below. "
        f"In the mean of the last three evaluations: {_difference(results, ours, papers, results.games, _LAST)}."
    )
    if methods.CONTROL in results.methods:
        alone = _difference(results, ours, methods.CONTROL, results.games)
        longer = _difference(results, ours, methods.CONTROL, results.games, _LAST)
        text += f" Minus {results.titles[methods.CONTROL]}, from which it differs in that lambda may rise again, and the rate with it: {alone}; "
        text += f"in the mean of the last three: {longer}."
    return text


def _course_table(results: Results) -> str:
    """How fast scores rise and what is lost again."""
    rows = []
    for method in results.methods:
        offline, online = results.offline_scores(method), results.scores(method)
        cells = ["" if offline is None else f"{statistics.interquartile_mean(offline):.2f}"]
        cells += [f"{statistics.interquartile_mean(scores):.2f}" for scores in np.moveaxis(online, -1, 0)]
        rows.append([results.titles[method], *cells, _cell(online[..., -_LAST:].mean(-1))])
    steps = [f"{steps:,.0f}" for steps in results.agent_steps]
    return tables.markdown(["IQM, all games, after agent steps", "0, offline", *steps, "mean of the last three"], rows)


def _weaning_table(results: Results) -> str:
    """Where lambda came to 0, and whether it rose again, of methods whose lambda is sometimes 0 and sometimes not."""
    rows = []
    for method in results.methods:
        courses = [results.coefficients(game, method) for game in results.games]
        zeros = [course == 0.0 for course in courses]
        if any(zero.any() for zero in zeros) and not all(zero.all() for zero in zeros):
            rows.append([results.titles[method], *(_weaned(zero, results.agent_steps) for zero in zeros)])
    titles = ["lambda first 0 after agent steps, median", *(label(results, game) for game in results.games)]
    return tables.markdown(titles, rows) if rows else ""


def _weaned(zero: np.ndarray, agent_steps: np.ndarray) -> str:
    """Of one game's runs, `[runs, iterations]`."""
    first = np.where(zero.any(1), agent_steps[zero.argmax(1)], np.inf)
    rose = int(np.sum((zero[:, :-1] & ~zero[:, 1:]).any(1)))
    middle, reached = np.median(first), int(zero.any(1).sum())
    text = f"{middle:,.0f}" if np.isfinite(middle) else f"in {reached} of {len(zero)} runs" if reached else "never"
    return f"{text}; rose again in {rose} of {len(zero)}" if rose else text


def _notes(results: Results, has_primary: bool, has_weaning: bool) -> str:
    """What is to be known of the tables that there are."""
    count = min(results.seeds(game) for game in results.games)
    lines = [
        f"Teacher-normalised scores after {results.frames[-1]:,.0f} frames: IQM of the seeds, and all games together of "
        f"{count} seeds each, with 95% stratified bootstrap intervals. Differences are of IQMs, of runs of the same seeds: pairs are "
        f"resampled together, for each game apart. What such intervals cover: experiments/pvrl/coverage.py. They are of the seeds alone: "
        f"a game has one teacher, one set of data, and one card, whose error moves all methods' scores of that game together. "
        + ("Only the primary comparison was" if has_primary else "No comparison here was")
        + " chosen before; intervals are not corrected for their number."
    ]
    if "qdagger" in results.methods and len(results.methods) > 1:
        lines.append("P(QDagger is better) is of runs that are not paired, ties half: 0.5 is no difference.")
    if has_weaning:
        lines.append(
            "Lambda is read where an iteration ends: that of a run which is weaned at t_0 is 0 in the iteration that ends there."
        )
    if results.longest > len(results.agent_steps):
        lines.append(
            f"Shown are the {len(results.agent_steps)} iterations that all runs have; some have up to {results.longest}, which "
            "--redraw shows of a game whose runs all have them."
        )
    partial = [method for method in results.titles if method not in results.methods]
    if partial:
        lines.append(f"Left out, as some game has no results of it: {', '.join(partial)}.")
    for game in results.games:
        about = results.about[game]
        seeds = sorted(results.runs[game][results.methods[0]])
        lines.append(
            f"{game}: seeds {seeds[0]} to {seeds[-1]}; random {about['random_score']:.2f}, teacher {about['teacher_score']:.2f}; SHA-256 of "
            f"the teacher {about['teacher_sha256'][:16]}, of its data {(about.get('data_sha256') or 'none')[:16]}."
        )
    return "\n\n".join(lines)
