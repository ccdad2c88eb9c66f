# SPDX-License-Identifier: Apache-2.0
from .pair_rules import PAIR_PRESETS as PAIR_PRESETS
from .pair_rules import PairDraw as PairDraw
from .pairs import RandPairViews as RandPairViews
from .pairs import RandPairViewsd as RandPairViewsd
from .view_geometry import RandViewGeometry as RandViewGeometry
from .view_intensity import RandViewIntensity as RandViewIntensity
