from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusiform.networks import FaceNetwork, Layer


def feature_layer(net: "FaceNetwork") -> "Layer":
    """Name the layer that holds what a network knows of a face, before any classifier.

    Parameters
    ----------
    net : FaceNetwork
        The network.

    Returns
    -------
    Layer
        The embedding. Where the output is something else (logits, landmarks), the last of the network's
        default layers before the one that gives it: most often the pool under the classifier.

    Examples
    --------
    >>> from fusiform.networks import load_network
    >>> feature_layer(load_network("demo")).name, feature_layer(load_network("mobilenetv1")).name
    ('embedding', 'avg')
    """
    layers = net.default_layers()
    if net.card.head in ("embedding", "features") or len(layers) == 1:
        return next((layer for layer in net.layers if layer.role == "embedding"), layers[-1])
    return layers[-2]
