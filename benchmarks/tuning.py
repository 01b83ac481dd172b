"""Whether tuning tells a method from a lucky rate: `python -m benchmarks.tuning [--studies 20]`.

Each study has its own 1,200 of the handwritten digits at unlike clients, its own partitions and trials, and a space
whose ends are shifted, so that other rates are drawn. There are three of each number:

*planted*: FedSGD with a server's rate of 1 and of 10. It is one method, as only the product with the clients' rate
counts, and at the rate with which both are stated the second is far ahead. Tuning should unmask it: better before, and
no longer afterwards. Both have the same range of rates, so they look at other products, and their choices differ by
chance as those of different methods do. All clients take part in each round, so that a run is plain gradient descent.

*noisy*: the same where half of 20 clients take part, unlike each other as they are: which rate is best then depends on
the partition and on luck.

*twins*: FedAvg, and FedProx with mu = 0, stated alike. Trials share draws and seeds, so both should end as the same.

It asks the product itself: `tune_arm`, the study that it makes, and its report's verdicts. Before that the cost of 20
trials, and of three finalists with three further seeds each, for the four arms of studies/quickstart.yaml. One thread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from federated.evaluation.evaluate import evaluate
from federated.machine.torch_threads import torch_threads
from federated.metrics.names import main_metric
from federated.report.findings.results import RunResult
from federated.report.findings.verdicts import DELTA, Paired, compare_paired
from federated.report.tuning.before_and_after import apart, pairs_before, tuned_among
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from federated.study.arm_labels import Run
from federated.study.looks import Looks
from federated.study.study import StudyConfig
from federated.study.tuning.tuned import tuned
from federated.tuning.arms import judging_examples, tune_arm

_EXAMPLES = 1_200
_SEEDS = 10
_LOOKS = Looks((_SEEDS,))
PLANTED = {"plain": "fedsgd(server_learning_rate=1)", "lucky": "fedsgd(server_learning_rate=10)"}
TWINS = {"fedavg": "fedavg", "fedprox": "fedprox(mu=0)"}
STUDIES = {"planted": (PLANTED, 15, 5, 5), "noisy": (PLANTED, 15, 20, 10), "twins": (TWINS, 5, 20, 10)}
"""Their arms, the rounds of a run, the clients, and how many of them take part in a round."""
COST = "cost"


class Ended(NamedTuple):
    """The verdicts on the second arm against the first, and its differences, as stated and as chosen."""

    before: Paired
    after: Paired


def write_digits(path: Path, number: int) -> None:
    """Write the digits of one study."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    some = np.random.default_rng(number).permutation(len(digits))[:_EXAMPLES]
    np.savez(path, inputs=images[some].astype(np.float32) / 16, targets=digits[some])


def study_of(
    path: Path, number: int, arms: Mapping[str, str], rounds: int, clients: int, cohort: int, **tuning: Any
) -> StudyConfig:
    """The study of one number; its seeds are no other's. The best products of both rates are well within the space."""
    low = 0.01 * 10 ** np.random.default_rng((number, 1)).uniform(-0.5, 0.5)
    space = {"local.learning_rate": f"loguniform({low:.6g}, {1e5 * low:.6g})"}
    return StudyConfig.model_validate(
        {
            "name": "tuning",
            "base": {
                "dataset": {"name": "arrays", "path": str(path)},
                "partitioner": "dirichlet(alpha=0.3)",
                "clients": clients,
                "cohort": {"size": cohort},
                "holdout": {"tuning": 0.2},
                "model": "logistic",
                "local": {"epochs": 1, "batch_size": 16, "learning_rate": 0.05},
                "rounds": rounds,
                "evaluation": {"every": rounds, "drift": False},
            },
            "arms": [{"name": name, "algorithm": algorithm} for name, algorithm in arms.items()],
            "tuning": {"budget": 20, "space": space, **tuning},
            "seeds": list(range(number * _SEEDS, (number + 1) * _SEEDS)),
        }
    )


def ended(study: StudyConfig) -> Ended:
    """Tune both arms, run the study that this makes, and judge it."""
    judged = judging_examples(study)
    found = [tune_arm(study, arm, judged, lambda line: None) for arm in study.named_arms()]
    results = [_result(run) for run in tuned(study, {each.arm: each.choice for each in found}).runs()]
    compared, untuned = apart(results)
    after = compare_paired(compared, looks=_LOOKS)
    (first,) = pairs_before(tuned_among(found, compared, untuned), after, DELTA, _LOOKS, robust=False)
    (second,) = after
    return Ended(first, second)


def _result(run: Run) -> RunResult:
    setup = prepare(run.config)
    state = train_rounds(initial_state(setup), setup, run.config.rounds)
    history = ((run.config.rounds, dict(evaluate(state, setup))),)
    return RunResult("tuning", run.arm, run.config.seed, "FINISHED", {}, history, main_metric(setup.scoring))


def cost() -> str:
    """What the tuning of the four arms of the quickstart takes."""
    content = yaml.safe_load(Path("studies/quickstart.yaml").read_text(encoding="utf-8"))
    content["base"]["holdout"] = {"tuning": 0.2}
    content["tuning"] = {"budget": 20, "space": {"local.learning_rate": "loguniform(0.001, 1)"}}
    study = StudyConfig.model_validate(content)
    judged, arms = judging_examples(study), list(study.named_arms())
    clock, processor = time.perf_counter(), time.process_time()
    for arm in arms:
        tune_arm(study, arm, judged, lambda line: None)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return f"{len(arms)} arms of the quickstart, 20 trials each: {processor:.0f} s of CPU time, {clock:.0f} s of time"


def table(title: str, found: Sequence[Ended]) -> str:
    """How often each verdict was reached before and after, and the mean difference."""
    lines = [f"{title}: {len(found)} studies"]
    for name, pairs in (
        ("before", [each.before for each in found]),
        ("after", [each.after for each in found]),
    ):
        verdicts = ", ".join(
            f"{verdict} {count}" for verdict, count in Counter(pair.verdict for pair in pairs).most_common()
        )
        differences = np.array([pair.estimate for pair in pairs], float)
        said = ", ".join(f"{each:+.4f}" for each in sorted(differences))
        lines.append(f"  {name}: {verdicts}; differences, mean {differences.mean():+.4f}: {said}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.tuning", description=__doc__)
    parser.add_argument("--part", nargs="+", choices=(COST, *STUDIES), default=[COST, *STUDIES])
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the number of the first study")
    parser.add_argument("--rule", choices=("random", "tpe", "asha"), default="tpe")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--finalists", type=int, default=3)
    given = parser.parse_args(arguments)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder, torch_threads(1):
        os.environ["FEDSTUDY_HOME"] = folder  # where trials are kept
        if COST in given.part:
            print(cost(), flush=True)
        for title in (each for each in STUDIES if each in given.part):
            found = []
            for number in range(given.first, given.first + given.studies):
                path = Path(folder, f"{number}.npz")
                write_digits(path, number)
                asked = {"rule": given.rule, "finalists": given.finalists, "repeats": given.repeats}
                found.append(ended(study_of(path, number, *STUDIES[title], **asked)))
                before, after = found[-1]
                print(
                    f"{title} {number}: {before.verdict}, {after.verdict} {after.estimate:+.4f}", flush=True
                )
            print(table(title, found), flush=True)
    print(f"{time.process_time() - started:.0f} s of CPU time")


if __name__ == "__main__":
    main()
