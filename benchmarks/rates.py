"""`python -m benchmarks.rates`: how often the report's verdicts and intervals are right, by simulation.

Scores and clients are drawn from laws that are known, and judged by the code that judges studies. `--studies` sets how
many of each; a rate near 5 % is known to 0.7 % with 1,000.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from federated.foundation.randomness import Purpose, generator
from federated.metrics.client_intervals import ClientSums
from federated.metrics.gaps import Gap, mean_over_clients, out_of_sample_gap, participation_gap
from federated.report.statistics.paired import RATE
from federated.report.statistics.two_arms import PairedScores, judged, more_seeds
from federated.study.looks import Looks

DELTA = 0.01
MOST = 200
Law = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
LAWS: dict[str, Law] = {
    "normal": lambda numbers, shape: numbers.standard_normal(shape),
    "skewed (exponential)": lambda numbers, shape: numbers.exponential(size=shape) - 1,
    "heavy-tailed (t of 3)": lambda numbers, shape: numbers.standard_t(3, shape) / np.sqrt(3),
    "few examples (60)": lambda numbers, shape: (numbers.binomial(60, 0.9, shape) / 60 - 0.9) / 0.0387,
}
"""Mean 0, deviation about 1."""

TRUTHS = ((0.0, 0.01), (0.003, 0.01), (0.005, 0.01), (0.02, 0.02), (0.03, 0.02))
"""(mean difference, its deviation over seeds)."""


def followed(differences: np.ndarray, least: int, comparisons: int = 1) -> tuple[str, int]:
    """(verdict, seeds) of an arm that starts with `least` seeds and gets those that are advised, to the end."""
    count, looks = least, Looks()
    while True:
        verdict = _verdict(differences[:count], comparisons, looks)
        more = None if verdict else more_seeds(PairedScores(differences[:count]), DELTA, comparisons, looks)
        if more is None or count + more > len(differences):
            return verdict or "inconclusive", count
        count += more


def _verdict(differences: np.ndarray, comparisons: int, looks: Looks) -> str:
    """Corrected as if no other comparison were decided, which Holm's rule does at most."""
    found = judged(PairedScores(differences), DELTA, looks)
    if found.same_p * comparisons < RATE:
        return "no difference"
    return "differs" if found.p * comparisons < RATE else ""


def false_verdicts(studies: int) -> Iterator[list[str]]:
    """Rows: of studies that follow the advice to the end, how many end in a false verdict."""
    numbers = generator(0, Purpose.EVALUATION)
    for law, draw in LAWS.items():
        for effect, wrong in ((0.0, "differs"), (DELTA, "no difference")):
            row = [law, f"{effect:g}", wrong]
            for least in (3, 5):
                scores = 0.01 * draw(numbers, (studies, 2, MOST))
                ends = [followed(effect + mine - theirs, least) for mine, theirs in scores]
                rate = np.mean([verdict == wrong for verdict, _ in ends])
                row.append(f"{rate:.1%} ({np.mean([seeds for _, seeds in ends]):.0f} seeds)")
            yield row


def decided_as_advised(studies: int) -> Iterator[list[str]]:
    """Rows: where the advice was followed once, how often there was a verdict."""
    numbers, looks = generator(1, Purpose.EVALUATION), Looks()
    for effect, deviation in TRUTHS:
        row = [f"{effect:g}", f"{deviation:g}"]
        for least in (3, 5):
            for comparisons in (1, 8):
                decided, seeds = [], []
                for differences in effect + deviation * numbers.standard_normal((studies, MOST)):
                    if _verdict(differences[:least], comparisons, looks):
                        continue
                    more = more_seeds(PairedScores(differences[:least]), DELTA, comparisons, looks)
                    if more is not None:
                        seeds.append(least + more)
                        decided.append(bool(_verdict(differences[: least + more], comparisons, looks)))
                row.append(f"{np.mean(decided):.0%} (to {median(seeds):.0f} seeds)")
        yield row


SIZES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "equal": lambda numbers, clients: np.full(clients, 20),
    "unequal": lambda numbers, clients: np.maximum(1, np.round(20 * numbers.lognormal(0, 0.8, clients))),
}
CLIENT_LAWS: dict[str, tuple[Law, float]] = {
    "normal": (lambda numbers, shape: numbers.standard_normal(shape), 0.0),
    "accuracies (beta)": (lambda numbers, shape: numbers.beta(8, 2, shape), 0.8),
    "skewed (exponential)": (lambda numbers, shape: numbers.exponential(size=shape), 1.0),
    "skewed (log-normal)": (lambda numbers, shape: numbers.lognormal(0, 0.7, shape), float(np.exp(0.245))),
}
"""Of what a client gains or has, with its mean."""


def coverage(clients: int, sizes: str, law: str, studies: int, seed: int = 0) -> dict[str, tuple[float, int]]:
    """Interval -> (the share that holds the truth, how many there were), over clients of stated sizes and gains."""
    numbers, (draw, mean) = generator(seed, Purpose.EVALUATION, clients), CLIENT_LAWS[law]

    def drawn(count: int) -> ClientSums:
        own = SIZES[sizes](numbers, count)
        return ClientSums(draw(numbers, (count,)) * own, own)

    held: dict[str, list[bool]] = {}
    for _ in range(studies):
        mine, others = drawn(clients), drawn(max(clients // 2, 5))
        nothing = mine._replace(sums=np.zeros(clients))
        gaps: dict[str, tuple[Gap, float]] = {
            "out-of-sample gap": (out_of_sample_gap(mine, nothing, 1, numbers), mean),
            "participation gap": (participation_gap(mine, others, 1, numbers), 0.0),
            "gain": (mean_over_clients(mine.sums / mine.sizes, numbers), mean),
        }
        for name, (gap, truth) in gaps.items():
            if gap.low is not None and gap.high is not None:
                held.setdefault(name, []).append(gap.low <= truth <= gap.high)
    return {name: (float(np.mean(each)), len(each)) for name, each in held.items()}


def coverages(studies: int) -> Iterator[list[str]]:
    """Rows: how often intervals over clients hold the truth."""
    for sizes in SIZES:
        for law in CLIENT_LAWS:
            for clients in (2, 5, 7, 10, 20, 50):
                found = coverage(clients, sizes, law, studies)
                told = [f"{found[name][0]:.1%}" if name in found else "none" for name in _GAPS]
                yield [str(clients), sizes, law, *told]


_GAPS = ("out-of-sample gap", "participation gap", "gain")
TABLES: dict[str, tuple[Sequence[str], Callable[[int], Iterator[list[str]]]]] = {
    "False verdicts, seeds added as advised to the end": (
        ("scores", "true difference", "false is", "from 3 seeds", "from 5 seeds"),
        false_verdicts,
    ),
    "Verdicts at the advised number of seeds": (
        ("true difference", "deviation", "3, 1 arm", "3, 8 arms", "5, 1 arm", "5, 8 arms"),
        decided_as_advised,
    ),
    "Coverage of 95 % intervals over clients": (("clients", "sizes", "law", *_GAPS), coverages),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", help="tables whose title has this in it")
    asked = parser.parse_args(arguments)
    console = Console(width=120)
    for title, (header, rows) in TABLES.items():
        if asked.only is None or asked.only.lower() in title.lower():
            table = Table(*header, title=title)
            for row in rows(asked.studies):
                table.add_row(*row)
            console.print(table)


if __name__ == "__main__":
    main()
