"""The law of a sample against what was planted: `python -m benchmarks.sample_law [--samples 200] [--clusters 12]`.

Mock samples at the level of counts in boxes (`tilegc.population.mocks`). For ln alpha, c and floor: the mean of the
best fits of the clusters and its standard deviation between them, which is what one has without a hierarchical law,
beside mean and intrinsic scatter of the law of the sample. Pulls of the mean are deviations over errors. The posterior
of a scatter is skewed, so that its pulls are the normal deviates of the posterior probability below the planted value.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.stats import norm

from benchmarks.command_line import Parser, at_least
from tilegc.population.cluster_counts import PARAMETERS
from tilegc.population.hierarchical import fit_sample_law
from tilegc.population.mocks import PLANTED, mock_clusters


def main() -> None:
    """Measure and print."""
    options = Parser(prog="python -m benchmarks.sample_law", description=main.__doc__)
    options.add_argument("--samples", type=at_least(2), default=200, help="mock samples")
    options.add_argument("--clusters", type=at_least(4), default=12, help="clusters of each")
    options.add_argument("--seed", type=at_least(0), default=1, help="seed of the first sample")
    given = options.parse_args()
    begun = time.process_time()
    mean, err, scatter, rank, naive, naive_scatter, own = [], [], [], [], [], [], []
    for seed in range(given.seed, given.seed + given.samples):
        clusters, laws = mock_clusters(given.clusters, seed)
        found = fit_sample_law(clusters, leave_one_out=False)
        population = found.population
        mean.append(population.mean.mean - PLANTED.mean)
        err.append(population.mean.err)
        scatter.append(population.scatter - PLANTED.scatter)
        below = population.nodes < np.array(PLANTED.scatter)
        rank.append(norm.ppf(np.clip(population.weight @ below, 1e-3, 1 - 1e-3)))
        naive.append(np.nanmean(found.alone, axis=0) - PLANTED.mean)
        naive_scatter.append(np.nanstd(found.alone, axis=0, ddof=1) - PLANTED.scatter)
        own.append([(one.mean - law) / one.err for one, law in zip(found.shrunken, laws, strict=True)])
    pull = np.array(mean) / np.array(err)
    own_pull = np.reshape(own, (-1, 3))
    print(f"{given.samples} samples of {given.clusters}, {time.process_time() - begun:.0f} s of CPU")
    rows = (
        ("planted mean", np.array(PLANTED.mean)),
        ("mean of best fits: bias", np.mean(naive, axis=0)),
        ("mean of best fits: rms", np.sqrt(np.mean(np.square(naive), axis=0))),
        ("law of sample: bias", np.mean(mean, axis=0)),
        ("law of sample: rms", np.sqrt(np.mean(np.square(mean), axis=0))),
        ("law of sample: mean pull", pull.mean(axis=0)),
        ("law of sample: std of pulls", pull.std(axis=0)),
        ("planted scatter", np.array(PLANTED.scatter)),
        ("std of best fits: median bias", np.median(naive_scatter, axis=0)),
        ("intrinsic scatter: bias", np.mean(scatter, axis=0)),
        ("planted scatter in posterior: mean", np.mean(rank, axis=0)),
        ("planted scatter in posterior: std", np.std(rank, axis=0)),
        ("within the 68 % interval", np.mean(np.abs(rank) < 1, axis=0)),
        ("single clusters: mean pull", own_pull.mean(axis=0)),
        ("single clusters: std of pulls", own_pull.std(axis=0)),
    )
    print(f"{'':34s}" + "".join(f"{name:>10s}" for name in PARAMETERS))
    for label, values in rows:
        print(f"{label:34s}" + "".join(f"{value:10.3f}" for value in values))


if __name__ == "__main__":
    main()
