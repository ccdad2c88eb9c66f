# SPDX-License-Identifier: Apache-2.0
from .frames import FramesInferer as FramesInferer
