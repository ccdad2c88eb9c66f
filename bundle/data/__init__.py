# SPDX-License-Identifier: Apache-2.0
from .cine_dataset import CineDataset as CineDataset
from .datalist import Datalist as Datalist
from .datalist import datalist_content as datalist_content
from .datalist import load_datalist as load_datalist
from .datalist import open_datalist as open_datalist
from .datalist import write_datalist as write_datalist
from .digests import ContentDigests as ContentDigests
from .digests import describe_transform as describe_transform
from .disjoint import check_disjoint as check_disjoint
from .folders import records_from_folder as records_from_folder
from .frame_cache import CacheReport as CacheReport
from .frame_cache import FrameCache as FrameCache
from .records import records_from_table as records_from_table
from .splits import by_fold as by_fold
from .splits import hide_labels as hide_labels
from .splits import split_folds as split_folds
from .splits import split_parts as split_parts
