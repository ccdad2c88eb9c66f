# SPDX-License-Identifier: Apache-2.0
"""Figures of saliency maps: how well a predicted map tells where people looked.

Of one frame, ``prediction`` and ``density`` are ``(H, W)``, not negative, taken as distributions over the pixels
(divided by their sums), and ``fixations`` ``(H, W)`` says how often each pixel was fixated. The definitions are those
of Bylinskii et al. (TPAMI 2019, arXiv 1604.03605); ties and few fixations are handled exactly, as said at each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FIGURES = ("kld", "nss", "auc", "shuffled_auc", "cc", "sim")
"""The names of the figures; of kld less is better, of all others more."""

_TINY = float(np.finfo(np.float64).eps)  # what a probability of 0 is taken for, as in the code of the MIT benchmark


def kld(prediction: npt.ArrayLike, density: npt.ArrayLike) -> float:
    """Kullback-Leibler divergence ``sum q log(q / p)`` of prediction p from density q, in nats; 0 is perfect.

    A pixel to which the prediction gives nothing counts as 2.2e-16.
    """
    p, q = _distribution(prediction), _distribution(density)
    seen = q > 0
    return float((q[seen] * np.log(q[seen] / np.maximum(p[seen], _TINY))).sum())


def nss(prediction: npt.ArrayLike, fixations: npt.ArrayLike) -> float:
    """Normalised scanpath saliency: the mean of the standardised prediction over the fixations; 0 for a uniform map."""
    p, counts = _distribution(prediction), np.asarray(fixations, dtype=np.float64)
    if np.ptp(p) == 0:
        return 0.0
    return float((((p - p.mean()) / p.std()) * counts).sum() / counts.sum())


def cc(prediction: npt.ArrayLike, density: npt.ArrayLike) -> float:
    """Pearson's correlation over the pixels; 0 where one of the maps is level."""
    p, q = _distribution(prediction), _distribution(density)
    if np.ptp(p) == 0 or np.ptp(q) == 0:
        return 0.0
    p, q = p - p.mean(), q - q.mean()
    return float((p * q).sum() / np.sqrt((p**2).sum() * (q**2).sum()))


def sim(prediction: npt.ArrayLike, density: npt.ArrayLike) -> float:
    """Similarity, the common mass ``sum min(p, q)``: 1 for equal maps, 0 for maps that share no pixel."""
    return float(np.minimum(_distribution(prediction), _distribution(density)).sum())


def auc_judd(prediction: npt.ArrayLike, fixations: npt.ArrayLike) -> float:
    """Area under the ROC of fixated pixels against all others; 0.5 for a uniform map.

    The chance that a fixation lies on a higher value than a pixel that nobody looked at, ties counting half. The MIT
    benchmark's script joins the fixated values alone by straight lines, and so gives more where fixations are few (of a
    map without any information 0.75 for one fixation, 0.5 in the limit of many).

    NaN where every pixel is fixated.
    """
    values, counts = np.asarray(prediction, dtype=np.float64), np.asarray(fixations, dtype=np.float64)
    return _auc(values, counts, (counts == 0).astype(np.float64))


def auc_shuffled(prediction: npt.ArrayLike, fixations: npt.ArrayLike, elsewhere: npt.ArrayLike) -> float:
    """As `auc_judd`, against what was fixated in other frames: about 0.5 for a map of what all frames have in common.

    Args:
        elsewhere: ``(H, W)``, how often each pixel was fixated in frames of other patients. All of it is used, nothing
            is drawn.

    NaN where there is no fixation elsewhere.
    """
    return _auc(np.asarray(prediction, dtype=np.float64), np.asarray(fixations), np.asarray(elsewhere))


def saliency_figures(
    prediction: npt.ArrayLike, density: npt.ArrayLike, fixations: npt.ArrayLike, elsewhere: npt.ArrayLike
) -> dict[str, float]:
    """All of `FIGURES` of one frame, by name."""
    return {
        "kld": kld(prediction, density),
        "nss": nss(prediction, fixations),
        "auc": auc_judd(prediction, fixations),
        "shuffled_auc": auc_shuffled(prediction, fixations, elsewhere),
        "cc": cc(prediction, density),
        "sim": sim(prediction, density),
    }


def _auc(values: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """P(a positive's value is above a negative's) + P(equal) / 2, of pixels with weights."""
    above, below = values[positive > 0], values[negative > 0]
    weights, others = positive[positive > 0].astype(np.float64), negative[negative > 0].astype(np.float64)
    if not weights.size or not others.size:
        return float("nan")
    order = np.argsort(below)
    until = np.concatenate([[0.0], np.cumsum(others[order])])
    lower, equal_too = (until[np.searchsorted(below[order], above, side)] for side in ("left", "right"))
    return float((weights * (lower + equal_too)).sum() / (2 * weights.sum() * until[-1]))


def _distribution(values: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return array / array.sum()
