"""What methods that perturb images share."""

from torch import Tensor

from fusiform.attribution._registry import Call, checked_scores
from fusiform.errors import SpecError
from fusiform.perturbation import Masks, masked_scores
from fusiform.perturbation._scores import Each


def perturbed_scores(call: Call, masks: Masks | Tensor, base: Tensor, each: Each | None = None) -> Tensor:
    """Scores of all images under all masks, (n, k), all finite."""
    scores = masked_scores(
        call.net,
        call.target,
        call.x,
        masks,
        base,
        batch_size=call.batch_size,
        memory_gb=call.memory_gb,
        progress=call.progress,
        each=each,
    )
    return checked_scores(scores, f"of '{call.net.card.name}' for perturbed inputs")


def checked_count(name: str, value: object, least: int) -> int:
    """Return an option that counts something."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SpecError(f"The option '{name}' must be an int of at least {least}; got {value!r}.")
    return value


def checked_share(name: str, value: object) -> float:
    """Return an option between 0 and 1, neither included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise SpecError(f"The option '{name}' must lie between 0 and 1; got {value!r}.")
    return float(value)
