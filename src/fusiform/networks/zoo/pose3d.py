"""MobileNetV1 of width 0.5 that fits a 3D face model, and of it the pose of the head."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from fusiform.errors import SpecError, WeightsError
from fusiform.networks._card import NetworkCard

if TYPE_CHECKING:
    from fusiform.networks._spec import Spec

ANGLES = ("yaw", "pitch", "roll")
N_PARAMETERS = 62
# Name, channels, stride of the depthwise-separable layers.
_PLAN = (
    *(("dw2_1", 32, 1), ("dw2_2", 64, 2), ("dw3_1", 64, 1), ("dw3_2", 128, 2), ("dw4_1", 128, 1)),
    *(("dw4_2", 256, 2), ("dw5_1", 256, 1), ("dw5_2", 256, 1), ("dw5_3", 256, 1), ("dw5_4", 256, 1)),
    *(("dw5_5", 256, 1), ("dw5_6", 512, 2), ("dw6", 512, 1)),
)


class DepthwiseSeparable(nn.Module):
    """Depthwise 3x3, then pointwise convolution, each with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn_dw = nn.BatchNorm2d(inputs)
        self.conv_sep = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer."""
        x = self.relu(self.bn_dw(self.conv_dw(x)))
        out: Tensor = self.relu(self.bn_sep(self.conv_sep(x)))
        return out


class Pose3D(nn.Module):
    """From a face, (n, 3, 120, 120), to yaw, pitch and roll of the head in degrees, (n, 3).

    Yaw is positive where the head is turned to the right of the image, pitch where it looks up, roll where it is
    tilted clockwise in the image. `parameters_3d` gives what lies before: the 62 numbers of the face model.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        inputs = 16
        for name, outputs, stride in _PLAN:
            self.add_module(name, DepthwiseSeparable(inputs, outputs, stride))
            inputs = outputs
        self.avg = nn.AdaptiveAvgPool2d(1)
        self.fc_param = nn.Linear(inputs, N_PARAMETERS)
        self.angles = HeadAngles()
        self.register_buffer("mean", torch.zeros(N_PARAMETERS))
        self.register_buffer("std", torch.ones(N_PARAMETERS))

    def parameters_3d(self, x: Tensor) -> Tensor:
        """Return the face model's parameters, (n, 62): the 3x4 camera first, then shape and expression."""
        x = self.relu(self.bn1(self.conv1(x)))
        for name, _, _ in _PLAN:
            x = self.get_submodule(name)(x)
        out: Tensor = self.fc_param(self.avg(x).flatten(1)) * self.std + self.mean
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Measure the pose."""
        out: Tensor = self.angles(self.parameters_3d(x)[:, :12].reshape(-1, 3, 4))
        return out


class HeadAngles(nn.Module):
    """The last step, as a module so that it is one layer."""

    def forward(self, camera: Tensor) -> Tensor:
        """Measure the pose."""
        return head_angles(camera)


def head_angles(camera: Tensor) -> Tensor:
    """Yaw, pitch and roll in degrees, (n, 3), from scaled-orthographic cameras, (n, 3, 4).

    The first two rows, normalised, are the first two of the rotation; their cross product is the third.

    Examples
    --------
    >>> turned = torch.tensor([[[0.5, 0.0, -0.866, 7.0], [0.0, 1.0, 0.0, 7.0], [0.866, 0.0, 0.5, 0.0]]])
    >>> head_angles(turned).round()[0].abs().tolist()
    [60.0, 0.0, 0.0]
    """
    first = nn.functional.normalize(camera[:, 0, :3], dim=1)
    second = nn.functional.normalize(camera[:, 1, :3], dim=1)
    third = torch.linalg.cross(first, second, dim=1)
    yaw = -torch.asin(third[:, 0].clamp(-1, 1))
    pitch = -torch.atan2(third[:, 1], third[:, 2])
    roll = -torch.atan2(second[:, 0], first[:, 0])
    return torch.rad2deg(torch.stack([yaw, pitch, roll], dim=1))


def build(
    spec: "Spec", state: dict[str, Tensor] | None
) -> tuple[nn.Module, NetworkCard, dict[str, Tensor] | None]:
    """Build the network and its card; ``stats=PATH`` holds mean and deviation of the face model's parameters."""
    stats = spec.take("stats")
    if state is not None:
        # A landmark head that the published network does not use.
        state = {name: tensor for name, tensor in state.items() if not name.startswith("fc_lm.")}
        if stats is not None:
            state |= _read_stats(Path(stats).expanduser())
        elif "mean" not in state:
            raise SpecError(
                f"Network '{spec.text}' needs the mean and deviation of its 62 outputs beside its weights: give "
                "stats=PATH, an .npz with the arrays 'mean' and 'std'."
            )
    elif stats is not None:
        raise SpecError(f"Network '{spec.text}' has stats=PATH but no weights=PATH; they belong together.")
    card = NetworkCard(
        name="pose3d",
        input_size=(120, 120),
        channels="bgr",
        mean=(127.5,),
        std=(128.0,),
        value_range=(0.0, 255.0),
        alignment="pose_120",
        head="pose",
        classes=ANGLES,
        licence="published weights (cleardusk/3DDFA_V2): MIT; the terms of the training faces apply besides",
        paper="Guo et al. (2020): Towards Fast, Accurate and Stable 3D Dense Face Alignment. ECCV.",
        description="Width 0.5. Yaw, pitch and roll in degrees, positive to the right of the image, up, and clockwise. "
        "Published weights: 300W-LP. On 390 faces of 13 yaws from -90 to 90: correlation 0.986, mean error 8.8 degrees up "
        "to 60, 12.8 overall, beyond 60 too small. Roll is what the alignment left of it.",
    )
    return Pose3D(), card, state


def _read_stats(path: Path) -> dict[str, Tensor]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it holds a single array")
        with loaded as file:
            found = {name: np.asarray(file[name], dtype=np.float32) for name in ("mean", "std")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"The stats '{path}' cannot be read: {str(error) or type(error).__name__}. Expected an .npz with the arrays "
            f"'mean' and 'std', {N_PARAMETERS} numbers each."
        ) from error
    shapes = {name: array.shape for name, array in found.items()}
    if set(shapes.values()) != {(N_PARAMETERS,)} or not all(
        np.isfinite(array).all() for array in found.values()
    ):
        raise WeightsError(
            f"The stats '{path}' must hold {N_PARAMETERS} finite numbers as 'mean' and as 'std'; got shapes {shapes}."
        )
    return {name: torch.from_numpy(array) for name, array in found.items()}
