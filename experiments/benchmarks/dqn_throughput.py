"""How fast our DQN is: steps and updates per second, of it and of PureJaxRL's `dqn.py` on the same work, and its memory.

    python experiments/benchmarks/dqn_throughput.py
    python experiments/benchmarks/dqn_throughput.py --purejaxrl FOLDER --purejaxrl-python FOLDER/bin/python

MinAtar Breakout, flattened; an MLP of 120 and 84 units; 10 environments, one update of 128 transitions every 10 agent
steps, the target network copied every 500; a ring of 100,000. A training from its first step is one jitted call, compiled
before, without evaluations. gymnax's Breakout (PureJaxRL) and pgx's (ours) are different code, so stepping them with random
actions is timed apart.

The second command needs a checkout of PureJaxRL and the interpreter of a virtual environment with
`gymnax==0.0.9 flashbax jax==0.5.3 six`. Its `dqn.py` is imported as it is. Both sides are processes that stay and take turns:
one of them runs, the other waits. Other work on the machine disturbs both, so read the ratios of neighbouring calls.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).with_name("dqn_throughput_worker.py")
PROGRAMS = ("train", "environments")
MOST = 10_000
"""Seeds, or repetitions, that anybody waits for."""


class Worker:
    """A process that holds one side's compiled programs and times a call on request."""

    def __init__(self, python: str, *arguments: object):
        command = [python, str(WORKER), *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._answer()

    def seconds(self, program: str) -> float:
        self._process.stdin.write(program + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with status {self._process.wait()}; its message is above")
        return json.loads(line)


def measure(commands: dict[str, list[object]], repetitions: int) -> tuple[dict, dict]:
    """Starts a worker for each side and lets them take turns.

    Returns:
      what each side says of itself, and the seconds of each call: `seconds[side][program]`, a list over repetitions.
    """
    workers = {side: Worker(*command) for side, command in commands.items()}
    seconds = {side: {program: [] for program in PROGRAMS} for side in workers}
    for _ in range(repetitions):
        for program in PROGRAMS:
            for side, worker in workers.items():
                seconds[side][program].append(worker.seconds(program))
    for worker in workers.values():
        worker.close()
    return {side: worker.about for side, worker in workers.items()}, seconds


def speed_row(seeds: int, side: str, about: dict, seconds: dict, steps: int) -> str:
    train, environments = (statistics.median(seconds[program]) for program in PROGRAMS)
    updates = about["updates"]
    return (
        f"{seeds:>5}  {side:10} {seeds * steps / train:>11,.0f} {updates / train:>11,.0f} {1e6 * train / updates:>11,.0f}"
        f" {seeds * steps / environments:>17,.0f} {environments / train:>14.1%}"
    )


def ratio_row(seeds: int, ours: list[float], theirs: list[float]) -> str:
    ratios = sorted(their / our for our, their in zip(ours, theirs, strict=True))
    return (
        f"{seeds:>5}  ours is {statistics.median(ratios):.2f} times as fast (median of {len(ratios)} neighbouring pairs, "
        f"{ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def memory_row(seeds: int, memory: dict) -> str:
    columns = ("ring", "state", "arguments", "aliased", "temporary")
    return f"{seeds:>5}  " + " ".join(f"{memory[column] / 2**20:>11.2f}" for column in columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--purejaxrl", metavar="FOLDER", help="folder with a checkout of PureJaxRL; without it only ours is measured"
    )
    parser.add_argument(
        "--purejaxrl-python", metavar="PATH", help="Python interpreter of PureJaxRL's virtual environment"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 8], help="numbers of vmapped seeds to time (default: 1 8)"
    )
    parser.add_argument(
        "--steps", type=int, default=20_000, help="agent steps of a seed in each call (default: %(default)s)"
    )
    parser.add_argument(
        "--warm-up", type=int, default=1_000, help="agent steps of these before the first update (default: %(default)s)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=7, help="number of timed calls of each program (default: %(default)s)"
    )
    options = parser.parse_args()
    for name, numbers in (("--seeds", options.seeds), ("--repetitions", [options.repetitions])):
        if not all(1 <= number <= MOST for number in numbers):
            parser.error(f"{name} is {' '.join(map(str, numbers))}; it must lie between 1 and {MOST}")
    if bool(options.purejaxrl) != bool(options.purejaxrl_python):
        parser.error("--purejaxrl and --purejaxrl-python go together")
    if options.steps % 500 or not 500 <= options.warm_up < options.steps < 2**31:
        parser.error(
            f"--steps {options.steps} must be a multiple of 500 (a period of the target network) and more than "
            f"--warm-up {options.warm_up}, which must be at least 500"
        )

    speeds, ratios, memories, versions = [], [], [], {}
    for seeds in options.seeds:
        work = (options.steps, options.warm_up, seeds)
        commands = {"ours": [sys.executable, "ours", *work]}
        if options.purejaxrl:
            commands["PureJaxRL"] = [options.purejaxrl_python, "purejaxrl", *work, options.purejaxrl]
        about, seconds = measure(commands, options.repetitions)
        versions = {side: f"jax {about[side]['jax']} on Python {about[side]['python']}" for side in about}
        speeds += [speed_row(seeds, side, about[side], seconds[side], options.steps) for side in about]
        memories.append(memory_row(seeds, about["ours"]["memory"]))
        if options.purejaxrl:
            ratios.append(ratio_row(seeds, seconds["ours"]["train"], seconds["PureJaxRL"]["train"]))

    print("; ".join(f"{side}: {version}" for side, version in versions.items()))
    print(
        f"{options.steps:,} agent steps per seed in a call; medians of {options.repetitions} calls; all seeds together"
    )
    print("\nseeds  side         steps / s   updates / s  us / update  environments only  their share")
    print("\n".join(speeds))
    print("\n" + ("\n".join(ratios) or "PureJaxRL was not measured: give --purejaxrl and --purejaxrl-python."))
    print("\nmemory of our iteration in MiB, as compiled; its state is donated, so what is aliased is not held twice")
    print("seeds         ring       state   arguments     aliased   temporary")
    print("\n".join(memories))


if __name__ == "__main__":
    main()
