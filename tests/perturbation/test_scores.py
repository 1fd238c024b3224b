import pytest
import torch
from torch import nn

from fusiform.errors import SpecError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.perturbation import _batch, best_batch_size, masked_outputs, masked_scores
from fusiform.runs import Progress
from fusiform.targets import Activation, Contrast, Logit, Similarity, Target


class _Counting(nn.Module):
    """A nonlinear network that notes the size of each batch."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 36, 5)
        self.sizes: list[int] = []
        self.grad: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        self.grad.append(torch.is_grad_enabled())
        return self.fc(self.conv(x).relu().flatten(1))


@pytest.fixture
def net() -> FaceNetwork:
    return FaceNetwork(_Counting(), NetworkCard(name="counting", input_size=(6, 6), head="embedding"))


def _drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _slow(
    net: FaceNetwork, target: Target, x: torch.Tensor, keep: torch.Tensor, base: torch.Tensor
) -> torch.Tensor:
    rows = []
    for i in range(len(x)):
        masks = keep if keep.dim() == 3 else keep[i]
        of = target.rows(torch.tensor([i]))
        rows.append([float(of(net, (m * x[i] + (1 - m) * base[i])[None]).detach()) for m in masks])
    return torch.tensor(rows)


def _targets(n: int) -> list[Target]:
    e = _drawn(n, 5, seed=7) - 0.5
    return [
        Logit(2),
        Similarity(e),
        Similarity(e[:1]),
        Similarity(e[0]),
        Contrast(e, e[0] + 1),
        Activation("fc", 1),
    ]


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 1000, None])
@pytest.mark.parametrize("own", [False, True])
def test_scores_are_those_of_one_image_at_a_time(
    net: FaceNetwork, n: int, batch_size: int | None, own: bool
) -> None:
    x, base = _drawn(n, 3, 6, 6), _drawn(n, 3, 6, 6, seed=1)
    keep = _drawn(n, 7, 6, 6, seed=2) if own else _drawn(7, 6, 6, seed=2)
    for target in _targets(n):
        found = masked_scores(net, target, x, keep, base, batch_size=batch_size)
        torch.testing.assert_close(found, _slow(net, target, x, keep, base), rtol=1e-4, atol=1e-6)
        assert not found.requires_grad


def test_outputs_are_those_that_are_scored(net: FaceNetwork) -> None:
    x, base, keep = _drawn(3, 3, 6, 6), _drawn(3, 3, 6, 6, seed=1), _drawn(3, 7, 6, 6, seed=2)
    outputs = masked_outputs(net, x, keep, base, batch_size=5)
    assert outputs.shape == (3, 7, 5)
    torch.testing.assert_close(outputs[..., 4], masked_scores(net, Logit(4), x, keep, base))


@pytest.mark.parametrize(
    ("n", "k", "batch_size"), [(1, 40, 16), (3, 40, 16), (50, 3, 16), (2, 1, 8), (1, 0, 4)]
)
def test_batches_are_full_and_never_larger(net: FaceNetwork, n: int, k: int, batch_size: int) -> None:
    x = _drawn(n, 3, 6, 6)
    masked_scores(net, Logit(0), x, _drawn(k, 6, 6), torch.zeros_like(x), batch_size=batch_size)
    sizes = net.module.sizes
    assert sum(sizes) == n * k
    assert max(sizes, default=0) <= batch_size
    # A part may leave a rest for each of its groups of images; apart from that all are full.
    assert len(sizes) <= 2 * -(-n * k // batch_size) + 1
    assert not any(net.module.grad)


class _Streamed:
    """Masks that note what was asked for."""

    def __init__(self, masks: torch.Tensor) -> None:
        self.masks, self.asked = masks, []

    def __len__(self) -> int:
        return len(self.masks)

    def part(self, start: int, stop: int) -> torch.Tensor:
        self.asked.append((start, stop))
        return self.masks[start:stop]


def test_masks_are_made_once_in_parts_and_handed_on(
    net: FaceNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    x, masks = _drawn(2, 3, 6, 6), _Streamed(_drawn(25, 6, 6) > 0.5)
    seen = []
    with Progress() as progress:
        scores = masked_scores(
            net,
            Logit(0),
            x,
            masks,
            torch.zeros_like(x),
            batch_size=8,
            progress=progress,
            each=lambda start, stop, keep, part: seen.append((start, stop, keep.clone(), part.clone())),
        )
    assert masks.asked == [(0, 8), (8, 16), (16, 24), (24, 25)]
    assert [part[:2] for part in seen] == masks.asked
    assert torch.equal(torch.cat([part[2] for part in seen]), masks.masks.to(x))
    assert torch.equal(torch.cat([part[3] for part in seen], dim=1), scores)
    assert "counting: perturbed images: 50/50" in capsys.readouterr().err


def test_memory_bounds_the_masks_held(net: FaceNetwork) -> None:
    x, masks = _drawn(4, 3, 6, 6), _Streamed(_drawn(50, 6, 6))
    budget = 8 * 4 * 36 * 4 * 3 / 1e9  # an eighth of it: three masks for each of four images
    masked_scores(net, Logit(0), x, masks, torch.zeros_like(x), batch_size=8, memory_gb=budget)
    assert max(stop - start for start, stop in masks.asked) == 3
    assert max(net.module.sizes) <= 8


def test_masks_that_do_not_fit_are_refused(net: FaceNetwork) -> None:
    x = _drawn(2, 3, 6, 6)
    for shape in ((5, 6, 7), (3, 5, 6, 6), (6, 6)):
        with pytest.raises(
            SpecError, match=r"Masks have shape \(k, 6, 6\) or \(2, k, 6, 6\); got \(" + str(shape[0])
        ):
            masked_scores(net, Logit(0), x, torch.ones(shape), x)
    with pytest.raises(SpecError, match=r"shape of the inputs, \(2, 3, 6, 6\); got \(1, 3, 6, 6\)"):
        masked_scores(net, Logit(0), x, torch.ones(5, 6, 6), x[:1])
    with pytest.raises(SpecError, match="batch_size must be at least 1; got 0"):
        masked_scores(net, Logit(0), x, torch.ones(5, 6, 6), x, batch_size=0)
    with pytest.raises(SpecError, match="memory_gb must be above 0; got 0"):
        masked_scores(net, Logit(0), x, torch.ones(5, 6, 6), x, memory_gb=0)


def _pretend(monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> None:
    monkeypatch.setattr(_batch, "_found", {})
    monkeypatch.setattr(_batch, "_seconds", lambda net, batch: len(batch) * seconds[len(batch)])


def test_the_fastest_batch_size_is_found_and_remembered(
    net: FaceNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = _drawn(1, 3, 6, 6)
    _pretend(monkeypatch, {4: 1.0, 16: 0.7, 64: 0.5, 256: 0.6, 1024: 0.1})
    assert best_batch_size(net, x) == 64
    _pretend(monkeypatch, {4: 1.0, 16: 0.99})
    assert best_batch_size(net, x, evaluations=600) == 4
    monkeypatch.setattr(_batch, "_seconds", None)
    assert best_batch_size(net, x, evaluations=5000) == 4
    assert best_batch_size(net, x, evaluations=500) == 32


def test_a_batch_fits_the_memory(net: FaceNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    x = _drawn(1, 3, 6, 6)
    one = (4 * 4 * 36 + 4 * 3 * 36) * 4 / 1e9  # four times the largest layer, four times the input
    _pretend(monkeypatch, {4: 1.0, 16: 0.5})
    assert best_batch_size(net, x, memory_gb=2 * one * 20.5) == 16
    assert best_batch_size(net, x, memory_gb=2 * one * 20.5, evaluations=100) == 20
    assert best_batch_size(net, x, memory_gb=one * 0.1, evaluations=100) == 1
