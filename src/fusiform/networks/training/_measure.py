import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fusiform.networks.training._classes import Labels
from fusiform.networks.training._pixels import Pixels, plain_batch
from fusiform.networks.training._recipe import Recipe
from fusiform.statistics import roc_auc, verification_auc

_BATCH = 128


@torch.no_grad()
def embed_all(
    trunk: nn.Module, pixels: Pixels, rows: np.ndarray, recipe: Recipe, *, device: str = "cpu"
) -> Float[Tensor, "n d"]:
    """Run a network over images without augmentation.

    Parameters
    ----------
    trunk : nn.Module
        The network; its training mode is put back.
    pixels : Pixels
        The images.
    rows : int array, shape (n,)
        Which of them.
    recipe : Recipe
        Says the input.
    device : str, default "cpu"
        Where the network is.

    Returns
    -------
    float tensor, shape (n, d)
        On the CPU.
    """
    mode = trunk.training
    trunk.eval()
    try:
        parts = [
            trunk(plain_batch(pixels.take(rows[start : start + _BATCH]), recipe).to(device)).float().cpu()
            for start in range(0, len(rows), _BATCH)
        ]
    finally:
        trunk.train(mode)
    return torch.cat(parts)


def validation_auc(
    trunk: nn.Module,
    head: nn.Module,
    pixels: Pixels,
    labels: Labels,
    recipe: Recipe,
    *,
    device: str = "cpu",
) -> float:
    """Measure a network on a validation set.

    Parameters
    ----------
    trunk, head : nn.Module
        The network and its classifier.
    pixels : Pixels
        The validation images.
    labels : Labels
        Their classes.
    recipe : Recipe
        Says the input.
    device : str, default "cpu"
        Where the network is.

    Returns
    -------
    float
        For identities, the verification AUC over all pairs by cosine. For other classes, the area under
        the ROC curve of each class against the rest, averaged over the classes that occur.
    """
    embeddings = embed_all(trunk, pixels, labels.rows, recipe, device=device)
    if labels.kind == "identity":
        return verification_auc(embeddings.numpy(), labels.codes, draws=0).auc
    with torch.no_grad():
        chance = head(embeddings.to(device)).softmax(dim=1).cpu().numpy()
    present = np.unique(labels.codes)
    areas = [roc_auc(chance[labels.codes == k, k], chance[labels.codes != k, k]) for k in present]
    return float(np.mean(areas))
