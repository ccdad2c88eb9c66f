# SPDX-License-Identifier: Apache-2.0
"""Self-supervised learning from ultrasound video: readers, data, transforms, networks, losses, metrics, handlers."""

__version__ = "0.1.0"
