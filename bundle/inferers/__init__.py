# SPDX-License-Identifier: Apache-2.0
from .boxes import BoxesInferer as BoxesInferer
from .boxes import ClipDetector as ClipDetector
from .boxes import unpack_boxes as unpack_boxes
from .cine_chunks import CineChunks as CineChunks
from .cine_chunks import PrepareChunk as PrepareChunk
from .clip_scores import ClipScoresd as ClipScoresd
from .embed import embed_clips as embed_clips
from .frames import FramesInferer as FramesInferer
from .probe import probe_features as probe_features
from .probe import probe_records as probe_records
from .whole_clip import WholeClipd as WholeClipd
