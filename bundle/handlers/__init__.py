# SPDX-License-Identifier: Apache-2.0
from .before_after_probe import BeforeAfterProbe as BeforeAfterProbe
from .classification_predictions import ClassificationPredictions as ClassificationPredictions
from .clip_montage import ClipMontage as ClipMontage
from .embeddings import Embeddings as Embeddings
from .encoder_export import EncoderExport as EncoderExport
from .epoch_seed import EpochSeed as EpochSeed
from .loss_parts import LossParts as LossParts
from .loss_progress import LossProgress as LossProgress
from .pair_montage import PairMontage as PairMontage
from .predictions import Predictions as Predictions
from .pretext_report import PretextReport as PretextReport
from .progress import Progress as Progress
from .run_checkpoint import RunCheckpoint as RunCheckpoint
from .run_folder import check_run_folder as check_run_folder
from .run_folder import open_run_folder as open_run_folder
from .stop_on_nan import TerminateOnNan as TerminateOnNan
from .training_log import TrainingLog as TrainingLog
