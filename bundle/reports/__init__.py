# SPDX-License-Identifier: Apache-2.0
"""What is said of a task: figures of its runs' predictions, tables, pictures, one page."""

from .predictions import Predictions as Predictions
from .predictions import pool_folds as pool_folds
from .predictions import read_predictions as read_predictions
from .results import Entry as Entry
from .results import task_results as task_results
from .results import with_baselines as with_baselines
