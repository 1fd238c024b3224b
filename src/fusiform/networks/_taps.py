"""Catch the outputs of chosen layers inside a forward pass, and leave no hook behind."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fusiform.errors import NetworkError
from fusiform.networks._roles import op_name
from fusiform.networks._trace import Site, main_tensor, module_output

Receive = Callable[[str, Tensor], None]


@contextmanager
def tapped(root: nn.Module, sites: Mapping[str, Site], receive: Receive) -> Iterator[None]:
    """Call ``receive(name, tensor)`` for each site as it is reached, for every forward pass inside the context.

    Parameters
    ----------
    root : nn.Module
        The network.
    sites : mapping of str to Site
        What to catch, by name.
    receive : callable
        Gets the live tensor; it is called inside the forward pass.
    """
    tap = _Tap(sites, receive)
    try:
        tap.attach(root)
        yield
    finally:
        tap.detach()


class _Tap:
    def __init__(self, sites: Mapping[str, Site], receive: Receive) -> None:
        self.wanted: dict[tuple[str, str, str, int], str] = {
            (s.kind, s.path, s.op, s.call): name for name, s in sites.items()
        }
        self.receive = receive
        self.functions = {s.path for s in sites.values() if s.kind == "function"}
        self.modules = {s.path for s in sites.values() if s.kind == "module"}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.reached: set[str] = set()
        self.stack: list[str] = [""]
        self.mode: _FunctionTap | None = None
        self.handles: list[Any] = []

    def attach(self, root: nn.Module) -> None:
        self.handles.append(root.register_forward_pre_hook(self._begin))
        self.handles.append(root.register_forward_hook(self._close, always_call=True))
        for path, module in root.named_modules():
            if path == "":
                continue
            if self.functions:
                # Which module is innermost decides whose function a function is. The output is delivered
                # only after its module has been left, so that what `receive` computes is nobody's.
                self.handles.append(module.register_forward_pre_hook(self._enter(path)))
                self.handles.append(module.register_forward_hook(self._leave(path), always_call=True))
            if path in self.modules:
                self.handles.append(module.register_forward_hook(self._output_of(path)))
        self.handles.append(root.register_forward_hook(self._end))

    def detach(self) -> None:
        for handle in self.handles:
            handle.remove()
        self._close()

    def deliver(self, kind: str, path: str, op: str, output: Any) -> None:
        self.calls[path, op] += 1
        name = self.wanted.get((kind, path, op, self.calls[path, op]))
        if name is None:
            return
        tensor = main_tensor(op, output)
        if tensor is None:
            raise NetworkError(
                f"Layer '{name}' gave a {type(output).__name__} in this forward pass, a tensor when it was traced."
            )
        self.reached.add(name)
        # Another tap's function mode must not take what `receive` computes for the network's own functions.
        with torch._C.DisableTorchFunction():
            self.receive(name, tensor)

    def _begin(self, module: nn.Module, args: Any) -> None:
        self._close()
        self.calls.clear()
        self.reached.clear()
        self.stack = [""]
        if self.functions:
            self.mode = _FunctionTap(self)
            self.mode.__enter__()

    def _close(self, *_: Any) -> None:
        if self.mode is not None:
            mode, self.mode = self.mode, None
            mode.__exit__(None, None, None)

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        if ("output", "", "", 1) in self.wanted:
            self.deliver("output", "", "", output)
        missing = [name for name in self.wanted.values() if name not in self.reached]
        if missing:
            shown = ", ".join(f"'{name}'" for name in missing[:5])
            raise NetworkError(
                f"The forward pass did not reach {len(missing)} of the layers asked for: {shown}. The network took "
                "another way for this input than for the image it was traced with; leave these layers out."
            )

    def _enter(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            self.stack.append(path)

        return hook

    def _leave(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if self.stack[-1] == path:
                self.stack.pop()

        return hook

    def _output_of(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self.deliver("module", path, "", module_output(module, output))

        return hook


class _FunctionTap(TorchFunctionMode):
    """Delivers the results of functions called directly in the wanted modules."""

    def __init__(self, tap: _Tap) -> None:
        super().__init__()
        self.tap = tap

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        path = self.tap.stack[-1]
        if path in self.tap.functions:
            self.tap.deliver("function", path, op_name(func), output)
        return output
