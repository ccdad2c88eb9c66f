# SPDX-License-Identifier: Apache-2.0
"""The figures of saliency maps against slow loops, scikit-learn, the MIT benchmark's script, and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
from sklearn.metrics import roc_auc_score

from bundle.metrics.saliency import auc_judd, auc_shuffled, cc, kld, nss, saliency_figures, sim

H, W = 9, 13


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Prediction with ties and zeros, density, fixations (one pixel twice), fixations elsewhere."""
    rng = np.random.default_rng(0)
    prediction = rng.integers(0, 6, (H, W)) / 100
    density = rng.random((H, W)) * (rng.random((H, W)) > 0.2)
    fixations = np.zeros((H, W), dtype=int)
    for row, column in ((2, 3), (2, 3), (5, 12), (8, 0), (4, 4)):
        fixations[row, column] += 1
    return prediction, density, fixations, rng.integers(0, 4, (H, W))


def pixels():
    return [(row, column) for row in range(H) for column in range(W)]


def slow_auc(values, positive, negative):
    won = weight = 0.0
    for a in pixels():
        for b in pixels():
            pairs = positive[a] * negative[b]
            weight += pairs
            won += pairs * (1.0 if values[a] > values[b] else 0.5 if values[a] == values[b] else 0.0)
    return won / weight


def test_figures_are_those_of_slow_loops(maps):
    prediction, density, fixations, elsewhere = maps
    p = {at: prediction[at] / sum(map(float, prediction.ravel())) for at in pixels()}
    q = {at: density[at] / sum(map(float, density.ravel())) for at in pixels()}
    mean_p, mean_q = 1 / (H * W), 1 / (H * W)
    var_p = sum((p[at] - mean_p) ** 2 for at in pixels()) / (H * W)
    var_q = sum((q[at] - mean_q) ** 2 for at in pixels()) / (H * W)
    looked = [at for at in pixels() for _ in range(fixations[at])]
    expected = {
        "kld": sum(q[at] * math.log(q[at] / max(p[at], 2**-52)) for at in pixels() if q[at] > 0),
        "nss": sum((p[at] - mean_p) / math.sqrt(var_p) for at in looked) / len(looked),
        "auc": slow_auc(prediction, fixations, (fixations == 0) * 1),
        "shuffled_auc": slow_auc(prediction, fixations, elsewhere),
        "cc": sum((p[at] - mean_p) * (q[at] - mean_q) for at in pixels()) / (H * W) / math.sqrt(var_p * var_q),
        "sim": sum(min(p[at], q[at]) for at in pixels()),
    }
    assert saliency_figures(prediction, density, fixations, elsewhere) == pytest.approx(expected, rel=1e-9)


def test_auc_is_scikit_learns(maps):
    prediction, _, fixations, elsewhere = maps
    where, values = fixations.ravel(), prediction.ravel()
    weights = np.where(where > 0, where, 1)
    assert auc_judd(prediction, fixations) == pytest.approx(roc_auc_score(where > 0, values, sample_weight=weights))
    both = np.concatenate([values, values])
    truth = np.repeat([1, 0], len(values))
    weights = np.concatenate([where, elsewhere.ravel()])
    expected = roc_auc_score(truth, both, sample_weight=weights)
    assert auc_shuffled(prediction, fixations, elsewhere) == pytest.approx(expected)


def mit_auc_judd(saliency, fixations):
    """The script of the MIT benchmark, without its jitter against ties."""
    at = np.sort(saliency[fixations > 0])[::-1]
    tp, fp = [0.0], [0.0]
    for i, threshold in enumerate(at, start=1):
        tp.append(i / len(at))
        fp.append(((saliency >= threshold).sum() - i) / (saliency.size - len(at)))
    return scipy.integrate.trapezoid([*tp, 1.0], [*fp, 1.0])


def test_the_mit_script_agrees_where_fixations_are_many_and_gives_more_where_few():
    rng = np.random.default_rng(1)
    saliency = rng.permutation(64 * 64).reshape(64, 64) + 1.0
    many = rng.random((64, 64)) * saliency > 2800
    assert auc_judd(saliency, many) == pytest.approx(mit_auc_judd(saliency, many), abs=2e-3)
    one = np.zeros((64, 64), dtype=int)
    one[7, 9] = 1
    exact = (saliency < saliency[7, 9]).sum() / (64 * 64 - 1)
    assert auc_judd(saliency, one) == pytest.approx(exact)
    assert mit_auc_judd(saliency, one) == pytest.approx((1 + exact) / 2)  # 0.75 of chance


def test_a_level_map(maps):
    _, density, fixations, elsewhere = maps
    figures = saliency_figures(np.full((H, W), 0.3), density, fixations, elsewhere)
    q = density / density.sum()
    entropy = -(q[q > 0] * np.log(q[q > 0])).sum()
    assert figures == pytest.approx(
        {
            "kld": math.log(H * W) - entropy,
            "nss": 0.0,
            "auc": 0.5,
            "shuffled_auc": 0.5,
            "cc": 0.0,
            "sim": np.minimum(q, 1 / (H * W)).sum(),
        }
    )


def test_a_perfect_map():
    density = np.zeros((H, W))
    density[3, 4] = 2.0
    figures = saliency_figures(density, density, density.astype(int), np.ones((H, W)) * (density == 0))
    n = H * W
    z = (1 - 1 / n) / math.sqrt((1 - 1 / n) ** 2 / n + (n - 1) / n / n**2)
    assert figures == pytest.approx({"kld": 0, "nss": z, "auc": 1, "shuffled_auc": 1, "cc": 1, "sim": 1})


def test_a_wrong_map():
    density, prediction = np.zeros((H, W)), np.ones((H, W))
    density[3, 4], prediction[3, 4] = 1, 0
    assert kld(prediction, density) == pytest.approx(52 * math.log(2))
    assert auc_judd(prediction, density) == 0
    assert cc(prediction, density) == pytest.approx(-1)
    assert sim(prediction, density) == 0
    assert nss(prediction, density) < -10


def test_scale_does_not_matter(maps):
    prediction, density, fixations, elsewhere = maps
    once = saliency_figures(prediction, density, fixations, elsewhere)
    assert saliency_figures(7 * prediction, 0.1 * density, fixations, elsewhere) == pytest.approx(once)


def test_what_is_common_to_all_frames_is_worth_nothing_to_the_shuffled_auc():
    rng = np.random.default_rng(2)
    prior = np.exp(-((np.arange(W) - W / 2) ** 2) / 8)[None] * np.exp(-((np.arange(H) - H / 2) ** 2) / 8)[:, None]
    drawn = [rng.multinomial(200, (prior / prior.sum()).ravel()).reshape(H, W) for _ in range(20)]
    values = [auc_shuffled(prior, one, sum(drawn) - one) for one in drawn]
    assert np.mean(values) == pytest.approx(0.5, abs=0.01)
    assert np.mean([auc_judd(prior, one) for one in drawn]) > 0.8


def test_nothing_to_be_told_from_is_nan():
    assert math.isnan(auc_judd(np.ones((2, 2)), np.ones((2, 2))))
    assert math.isnan(auc_shuffled(np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2))))
