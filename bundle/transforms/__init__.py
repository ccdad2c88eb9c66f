# SPDX-License-Identifier: Apache-2.0
from .frames import EvenFramesd as EvenFramesd
from .grey import ToGrey as ToGrey
from .grey import ToGreyd as ToGreyd
from .load import LoadCined as LoadCined
from .pair_rules import PAIR_PRESETS as PAIR_PRESETS
from .pair_rules import PairDraw as PairDraw
from .pairs import RandPairViews as RandPairViews
from .pairs import RandPairViewsd as RandPairViewsd
from .preprocessing import preprocessing as preprocessing
from .resize import ResizeFrames as ResizeFrames
from .resize import ResizeFramesd as ResizeFramesd
from .sector import CropToSector as CropToSector
from .sector import CropToSectord as CropToSectord
from .sector_fit import SectorFit as SectorFit
from .sector_fit import find_sector as find_sector
from .view_geometry import RandViewGeometry as RandViewGeometry
from .view_intensity import RandViewIntensity as RandViewIntensity
