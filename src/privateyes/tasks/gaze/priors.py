"""What is believed of a new person's gaze before any of their samples is seen."""

from __future__ import annotations

from typing import Final

import numpy as np

from privateyes.training.calibration import Prior

GAZE_PRIOR: Final = Prior(noise=float(np.deg2rad(3.0)), bias=float(np.deg2rad(3.0)), gain=0.2)
"""For gaze in radians. Shared models err by about 6 degrees on MPIIGaze and models of one person by 2.5 ([MPIIGaze]); a
mean angle of 4 degrees comes from a scatter of 3 on each axis."""
POINT_PRIOR: Final = Prior(noise=1.5, bias=1.5, gain=0.2)
"""For points of gaze in cm: the same angle at 30 cm, the distance of a telephone."""
