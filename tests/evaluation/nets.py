"""Small networks of which everything is known."""

import torch
from torch import nn

from fusiform.networks import FaceNetwork, NetworkCard

SIDE = 12


def card(head="logits", side=SIDE):
    return NetworkCard(name="small", input_size=(side, side), mean=(0.5,), std=(0.25,), head=head)


def linear_net(seed=0, side=SIDE):
    """One logit, linear in the pixels; its weights (3, side, side)."""
    weights = torch.randn(3, side, side, generator=torch.Generator().manual_seed(seed))
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 1))
    with torch.no_grad():
        module[1].weight.copy_(weights.flatten())
        module[1].bias.fill_(0.3)
    return FaceNetwork(module, card(side=side)), weights


class Residual(nn.Module):
    """A sum in forward, in-place ReLU, PReLU, norms, two outputs."""

    def __init__(self, features=4):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.prelu = nn.PReLU(6)
        self.pool = nn.AdaptiveAvgPool2d(3)
        self.fc = nn.Linear(54, features)

    def forward(self, x):
        y = self.relu(self.norm(self.first(x)))
        return self.fc(self.pool(self.prelu(self.second(y) + y)).flatten(1))


def residual_net(seed=0, head="logits", features=4):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = Residual(features)
        with torch.no_grad():
            module.norm.running_mean.uniform_(-0.2, 0.2)
            module.norm.running_var.uniform_(0.5, 1.5)
    return FaceNetwork(module, card(head))


def images(n=3, seed=1, side=SIDE):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def gradient(net, x, target):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(target(net, x).sum(), x)[0].sum(dim=1)


def input_x_gradient(net, x, target):
    x = x.detach().clone().requires_grad_()
    return (x * torch.autograd.grad(target(net, x).sum(), x)[0]).sum(dim=1).detach()


def state_of(net):
    """All that a measure must leave as it was."""
    return (
        {k: v.clone() for k, v in net.module.state_dict().items()},
        [m.training for m in net.module.modules()],
        [(p.requires_grad, p.grad is None) for p in net.module.parameters()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in net.module.modules()],
        [type(m) for m in net.module.modules()],
    )


def assert_untouched(net, before):
    now = state_of(net)
    assert before[0].keys() == now[0].keys()
    assert all(torch.equal(before[0][k], now[0][k]) for k in now[0])
    assert before[1:] == now[1:]
