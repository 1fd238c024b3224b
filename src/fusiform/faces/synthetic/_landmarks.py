"""The 68 iBUG points on the head's surface coordinates."""

import math

import torch
from torch import Tensor

from fusiform.faces.synthetic._buffer import Camera
from fusiform.faces.synthetic._math import span
from fusiform.faces.synthetic._measures import Measures, brow_curve, lid_curves, lip_curves
from fusiform.faces.synthetic._surface import face_theta, head_points

__all__ = ["landmark_charts", "project_landmarks"]

# The jaw line: degrees of azimuth and chart heights from ear to chin.
_JAW_THETA = (88, 88, 88, 87, 84, 76, 62, 36, 0)
_JAW_Y = (0.0, -0.2, -0.42, -0.63, -0.81, -0.95, -1.06, -1.13, -1.165)


def landmark_charts(m: Measures) -> tuple[Tensor, Tensor]:
    """Surface coordinates (theta, y) of the 68 points, each (n, 68), left as seen in the image first."""
    n, device = len(m), m.yaw.device
    xs: list[Tensor] = []
    ys: list[Tensor] = []

    def chart(x: Tensor, y: Tensor) -> None:
        xs.append(x.expand(n, -1))
        ys.append(y.expand(n, -1))

    def values(*numbers: float) -> Tensor:
        return torch.tensor(numbers, device=device)

    jaw = [(-math.radians(t), y) for t, y in zip(_JAW_THETA, _JAW_Y, strict=True)]
    contour = values(*(v for point in jaw + [(-t, y) for t, y in reversed(jaw[:-1])] for v in point)).view(
        17, 2
    )
    t = values(0.96, 0.75, 0.5, 0.25, 0.04)
    x = m.brow_in + t * (m.brow_out - m.brow_in)
    for side in (-1.0, 1.0):
        centre, half = brow_curve(t, m, side)
        y = centre + 0.3 * half
        chart(*((-x, y) if side < 0 else (x.flip(1), y.flip(1))))
    along = span(0, 1, 4, device)
    y = m.eye_y + 0.02 + along * (m.tip_y - m.eye_y - 0.02)
    chart(m.bend * (math.pi * ((0.1 - y) / (0.1 - m.tip_y)).clamp(0, 1)).sin(), y)
    chart(values(-0.85, -0.45, 0.0, 0.45, 0.85) * m.nose_w, m.nose_y + values(0.025, 0.0, -0.02, 0.0, 0.025))
    s = values(1.0, 0.38, -0.38, -1.0, -0.38, 0.38)  # from the outer corner over the upper lid
    upper, lower = lid_curves(s, m)
    y = m.eye_y + m.tilt * s * m.eye_w + torch.cat((upper[:, :4], lower[:, 4:]), 1)
    x = m.eye_x + s * m.eye_w
    chart(-x, y)
    order = torch.tensor([3, 2, 1, 0, 5, 4], device=device)  # the other eye begins at its inner corner
    chart(x[:, order], y[:, order])
    s = values(-1.0, -0.62, -0.25, 0.0, 0.25, 0.62, 1.0, 0.62, 0.3, 0.0, -0.3, -0.62)
    top, _, _, bottom = lip_curves(s, m)
    chart(s * m.mouth_w, torch.cat((top[:, :7], bottom[:, 7:]), 1))
    s = values(-0.86, -0.36, 0.0, 0.36, 0.86, 0.36, 0.0, -0.36)
    _, rim_up, rim_low, _ = lip_curves(s, m)
    chart(s * m.mouth_w, torch.cat((rim_up[:, :5], rim_low[:, 5:]), 1))
    cx, cy = torch.cat(xs, 1), torch.cat(ys, 1)
    edge = contour.T[:, None].expand(2, n, 17)
    return torch.cat((edge[0], face_theta(cx, cy, m)), 1), torch.cat((edge[1], cy), 1)


def project_landmarks(m: Measures, camera: Camera) -> Tensor:
    """The 68 points in a camera's buffer: x and y in samples, depth in dm, (3, n, 68)."""
    theta, y = landmark_charts(m)
    return camera.project(camera.place(head_points(theta, y, m)[0]))
