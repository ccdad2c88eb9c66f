# SPDX-License-Identifier: Apache-2.0
from .make_set import make_set as make_set
from .public_set import PublicSet as PublicSet
from .sets import PUBLIC_SETS as PUBLIC_SETS
from .sets import find_public_set as find_public_set
