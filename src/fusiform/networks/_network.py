"""A network, its card, its layers, and what they hold for an image."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusiform.errors import LayerError, NetworkError, nearest
from fusiform.networks._card import NetworkCard
from fusiform.networks._listing import Layer, Listing, build_listing
from fusiform.networks._random import randomized_copy
from fusiform.networks._taps import tapped
from fusiform.networks._trace import trace

_LUMA = (0.299, 0.587, 0.114)
_RANDOM = " (random weights)"


class FaceNetwork:
    """A PyTorch module together with its card, opened up.

    Layers are found by watching one forward pass, so they include what happens inside ``forward``: sums,
    concatenations, functional activations, a module's second call. Modules that only reshape or pass on
    (identity, dropout, flatten) are no layers, nor are outputs that do not keep the batch first. Every forward
    pass runs in eval mode; the module's training flags, parameters, gradients and hooks are left as they were.

    Parameters
    ----------
    module : nn.Module
        Any network that takes a tensor ``(n, channels, height, width)``.
    card : NetworkCard
        What it expects and gives.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(8, 8)))
    >>> [(layer.name, layer.role, layer.shape) for layer in net.layers]
    [('0', 'conv', (4, 6, 6)), ('1', 'activation', (4, 6, 6)), ('2', 'pool', (4, 1, 1)), ('4', 'embedding', (2,))]
    """

    def __init__(self, module: nn.Module, card: NetworkCard) -> None:
        if not isinstance(module, nn.Module):
            raise NetworkError(f"A FaceNetwork needs a torch.nn.Module; got {type(module).__name__}.")
        if not isinstance(card, NetworkCard):
            raise NetworkError(f"A FaceNetwork needs a NetworkCard; got {type(card).__name__}.")
        self.module = module
        self.card = card

    def __repr__(self) -> str:
        height, width = self.card.input_size
        return f"FaceNetwork('{self.card.name}', {height}x{width} {self.card.channels}, {self.n_parameters} parameters)"

    # what it is made of ------------------------------------------------------------------------------

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._reference().device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the parameters, and so of the inputs."""
        return self._reference().dtype

    def _reference(self) -> Tensor:
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            if tensor.is_floating_point():
                return tensor
        return torch.empty(0)

    def digest(self) -> str:
        """Return the sha256 (hexadecimal) of all parameters and buffers: names, types, shapes and bytes."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.module.state_dict().items()):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @property
    def layers(self) -> list[Layer]:
        """All layers in forward order, traced once with a zero image.

        Raises
        ------
        NetworkError
            If the module cannot run on one image of the card's size.
        """
        return list(self._listing.layers)

    @cached_property
    def _listing(self) -> Listing:
        height, width = self.card.input_size
        zeros = torch.zeros(1, self.card.n_channels, height, width, dtype=self.dtype, device=self.device)
        with _evaluating(self.module):
            try:
                record = trace(self.module, zeros)
            except Exception as error:
                raise NetworkError(
                    f"'{self.card.name}' cannot run on one image of shape {tuple(zeros.shape)}, which its card "
                    f"expects ({type(error).__name__}: {error}); check input_size and channels."
                ) from error
        return build_listing(record, head=self.card.head)

    def layer(self, name: str) -> Layer:
        """Return the layer of this name.

        Raises
        ------
        LayerError
            If there is none; the message offers the nearest names.
        """
        for layer in self._listing.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self._listing.layers]
        if name and name in dict(self.module.named_modules()):
            raise LayerError(
                f"'{name}' is a module of '{self.card.name}' but no layer: it gives a tuple or something else than one "
                "tensor with the images first, only reshapes or passes on, or is not reached; "
                f"{nearest(name, names)}"
            )
        raise LayerError(f"'{self.card.name}' has no layer '{name}'; {nearest(name, names)}")

    def default_layers(self) -> list[Layer]:
        """Return the layers to look at first.

        They are the outputs of blocks, and outside blocks the pools, fully connected layers, concatenations and
        the embedding; in networks of fewer than three blocks the convolutions (after their activation) too.
        Layers that hold the same tensor are given once.
        """
        return [self.layer(name) for name in self._listing.defaults]

    # what it makes of an image -----------------------------------------------------------------------

    def prepare(self, images: Tensor) -> Tensor:
        """Turn images into this network's inputs.

        Parameters
        ----------
        images : uint8 tensor, (n, 3, height, width)
            RGB, any size; one channel is taken for grey.

        Returns
        -------
        tensor, (n, channels, *card.input_size)
            Resized (bilinear, antialiased), scaled to the card's value range, in its order of channels,
            less its mean, over its deviation; in the module's floating type, on its device.

        Raises
        ------
        NetworkError
            If `images` is not a uint8 tensor of that shape.
        """
        if not isinstance(images, Tensor) or images.dtype != torch.uint8:
            got = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise NetworkError(f"prepare takes images as a uint8 tensor (n, 3, height, width); got {got}.")
        if images.dim() != 4 or images.shape[1] not in (1, 3):
            raise NetworkError(
                f"prepare takes images of shape (n, 3, height, width); got {tuple(images.shape)}."
            )
        card = self.card
        dtype = self.dtype if self.dtype in (torch.float32, torch.float64) else torch.float32
        x = images.to(self.device, dtype)
        if tuple(x.shape[2:]) != card.input_size:
            x = F.interpolate(x, size=card.input_size, mode="bilinear", align_corners=False, antialias=True)
        if card.channels == "grey":
            if x.shape[1] == 3:
                x = (x * x.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
        else:
            x = x.expand(-1, 3, -1, -1)
            if card.channels == "bgr":
                x = x.flip(1)
        low, high = card.value_range
        mean, std = (x.new_tensor(values)[:, None, None] for values in (card.mean, card.std))
        # One multiplication and one addition for scaling and normalising together.
        return (x * ((high - low) / 255 / std) + (low - mean) / std).to(self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the module's raw output for inputs from `prepare`; follows the grad mode.

        Raises
        ------
        NetworkError
            If `x` has not the shape the card says, or is not floating.
        """
        self.check(x)
        with _evaluating(self.module):
            output: Tensor = self.module(x.to(self.device, self.dtype))
        return output

    def check(self, x: Tensor) -> None:
        """Refuse inputs that the card does not allow.

        Raises
        ------
        NetworkError
            If `x` has not the shape the card says, or is not floating.
        """
        expected = (self.card.n_channels, *self.card.input_size)
        if not isinstance(x, Tensor) or not x.is_floating_point():
            got = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise NetworkError(
                f"'{self.card.name}' expected a floating tensor (n, {', '.join(map(str, expected))}); got {got}. "
                "Use net.prepare on images."
            )
        if x.dim() != 4 or tuple(x.shape[1:]) != expected:
            raise NetworkError(
                f"'{self.card.name}' expected inputs of shape (n, {', '.join(map(str, expected))}); "
                f"got {tuple(x.shape)}. Use net.prepare on images."
            )

    def embed(self, x: Tensor) -> Tensor:
        """Return L2-normalised embeddings, (n, features).

        Raises
        ------
        NetworkError
            If the card's head is not ``"embedding"``: then the activations of a layer before the head
            serve as features.
        """
        if self.card.head != "embedding":
            raise NetworkError(
                f"'{self.card.name}' gives {self.card.head}, not an embedding; use net(x), or net.activations(x, ...) "
                "at a layer before the head."
            )
        output = self(x)
        if not isinstance(output, Tensor) or output.flatten(1).shape[1] != output.shape[1]:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise NetworkError(f"'{self.card.name}' should give embeddings (n, features); got {got}.")
        return F.normalize(output.flatten(1), dim=1)

    # looking inside ----------------------------------------------------------------------------------

    def tapped(
        self, names: Iterable[str], receive: Callable[[str, Tensor], None]
    ) -> AbstractContextManager[None]:
        """Watch layers during the forward passes made inside the context.

        Parameters
        ----------
        names : iterable of str
            Layers, by name.
        receive : callable
            Called as ``receive(name, tensor)`` inside the forward pass with the live tensor; what follows may
            change it in place, so copy or reduce at once.

        Raises
        ------
        LayerError
            If there is no such layer.
        NetworkError
            From the forward pass, if it does not reach a layer.

        Examples
        --------
        >>> from torch import nn
        >>> net = FaceNetwork(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), NetworkCard(name="t", input_size=(8, 8)))
        >>> means = {}
        >>> with net.tapped(["1"], lambda name, tensor: means.update({name: tensor.mean((0, 2, 3))})):
        ...     _ = net(torch.zeros(2, 3, 8, 8))
        >>> means["1"].shape
        torch.Size([4])
        """
        sites = self._listing.sites
        return tapped(self.module, {n: sites[self.layer(n).name] for n in _names(names)}, receive)

    def activations(self, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Return copies of layers' outputs for inputs from `prepare`, in the order of `names`.

        Copies are safe from later in-place operations and, with gradients on, stay in the graph.

        Raises
        ------
        LayerError
            If there is no such layer.
        """
        wanted = _names(names)
        found: dict[str, Tensor] = {}
        with self.tapped(wanted, lambda name, tensor: found.__setitem__(name, tensor.clone())):
            self(x)
        return {name: found[name] for name in wanted}

    # other weights -----------------------------------------------------------------------------------

    def randomized(self, seed: int = 0) -> "FaceNetwork":
        """Return the same architecture with fresh random weights, as a control.

        Every module draws its parameters anew by its own ``reset_parameters``, norms become the identity, and
        convolutions and linear layers take He's variance without bias, so that the signal keeps its size to the
        last layer. Parameters that no module draws come from a normal distribution of their own mean and
        deviation. The global random state is left alone.

        Parameters
        ----------
        seed : int, default 0
            Seed of the draw.
        """
        name = self.card.name.removesuffix(_RANDOM) + _RANDOM
        card = self.card.replace(name=name, weights_digest="", threshold=None)
        return FaceNetwork(randomized_copy(self.module, seed), card)


def _names(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(dict.fromkeys(names))


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode for a while; each module's own flag comes back."""
    training = [m for m in module.modules() if m.training]
    if not training:
        yield
        return
    for m in training:
        m.training = False
    try:
        yield
    finally:
        for m in training:
            m.training = True
