"""Figures that answer in the page, without a kernel: a model's networks in JavaScript, held to Keras by tests."""

from vaecourse.live.by_hand import bound_by_hand, gradient_lab, pixel_lab
from vaecourse.live.digits import digit_lab
from vaecourse.live.drawing import draw_a_digit
from vaecourse.live.frames import epochs
from vaecourse.live.ladders import beta_lab
from vaecourse.live.page import LiveFigure
from vaecourse.live.planes import latent_plane
from vaecourse.live.slips import which_slip

__all__ = [
    "LiveFigure",
    "beta_lab",
    "bound_by_hand",
    "digit_lab",
    "draw_a_digit",
    "epochs",
    "gradient_lab",
    "latent_plane",
    "pixel_lab",
    "which_slip",
]
