"""From a trace to the list of layers: names, depths, roles, residual blocks, and which layers to look at first."""

from collections import Counter
from dataclasses import dataclass

from torch import nn
from torch.fx import GraphModule

from fusiform.networks._roles import class_role
from fusiform.networks._trace import Row, Site, Trace

# A module with more sums than this is a whole network or a stage written in one forward, not one block.
_MOST_SUMS_OF_A_BLOCK = 3
_FEW_BLOCKS = 3
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, GraphModule)


@dataclass(frozen=True)
class Layer:
    """One layer of a network: a module, or a function called in a module's ``forward``.

    Parameters
    ----------
    name : str
        The module's path (``"layer1.0.conv1"``), or the path and the function (``"layer1.0.add"``); a
        second call ends in ``"@2"``.
    depth : int
        Index in forward order, from 0; a module of modules comes after what it holds.
    kind : str
        Class of the module, or name of the function.
    shape : tuple of int
        Shape of the output without the batch: ``(channels, height, width)`` or ``(features,)`` ...
    block : str or None
        The residual block it belongs to: the innermost module whose forward makes a residual sum, or
        ``"block1"``, ``"block2"`` ... where a graph has no such modules.
    role : str
        ``"conv"``, ``"norm"``, ``"activation"``, ``"max_feature_map"``, ``"residual_sum"``, ``"concat"``,
        ``"pool"``, ``"fc"``, ``"attention"``, ``"softmax"``, ``"embedding"``, ``"block"``, ``"stage"`` or
        ``"other"``.
    """

    name: str
    depth: int
    kind: str
    shape: tuple[int, ...]
    block: str | None
    role: str


@dataclass(frozen=True)
class Listing:
    """The layers, where to catch each, and the names of those to look at first."""

    layers: list[Layer]
    sites: dict[str, Site]
    defaults: list[str]


def build_listing(trace: Trace, *, head: str) -> Listing:
    """Name, classify and group what a trace recorded.

    Parameters
    ----------
    trace : Trace
        The record of one pass.
    head : str
        The card's head; with ``"embedding"`` the layer that gives the output has that role.
    """
    return _Builder(trace, head).build()


class _Builder:
    def __init__(self, trace: Trace, head: str) -> None:
        self.trace = trace
        self.rows = list(trace.rows)
        self.head = head
        self.output: Row | None = None
        self.kinds = {path: type(trace.modules[path]) for path in trace.composites}
        # Rows of single layers by the tensor they make; a module around a layer makes the same tensor.
        self.maker: dict[int, Row] = {}
        for row in self.rows:
            if not row.composite:
                self.maker.setdefault(trace.canonical(row.node), row)
        self.sources = {id(r): self._sources(r) for r in self.maker.values()}
        self.users: dict[int, list[Row]] = {}
        for row in self.maker.values():
            for source in self.sources[id(row)]:
                self.users.setdefault(id(source), []).append(row)

    def build(self) -> Listing:
        self._name_output()
        flat, self.flat_members = self._flat_blocks()
        self._name_composites()
        labels = [self._block_of(row) for row in self.rows]
        names = self._names()
        layers = [
            Layer(name, depth, row.kind, row.shape, label, row.role)
            for depth, (row, name, label) in enumerate(zip(self.rows, names, labels, strict=True))
        ]
        sites = {name: row.site for row, name in zip(self.rows, names, strict=True)}
        chosen = self._defaults(flat)
        return Listing(
            layers, sites, [n for row, n in zip(self.rows, names, strict=True) if id(row) in chosen]
        )

    def _names(self) -> list[str]:
        seen: Counter[str] = Counter()
        names = []
        for row in self.rows:
            seen[row.base] += 1
            names.append(row.base if seen[row.base] == 1 else f"{row.base}@{seen[row.base]}")
        return names

    # data flow ---------------------------------------------------------------------------------------

    def _sources(self, row: Row) -> list[Row]:
        """Single-layer rows whose tensors go into `row` with nothing but bookkeeping between."""
        found: dict[int, Row] = {}
        own = self.trace.canonical(row.node)
        todo, seen = [own], {own}
        while todo:
            for parent in self.trace.nodes[todo.pop()].parents:
                node = self.trace.canonical(parent)
                if node in seen:
                    continue
                seen.add(node)
                maker = self.maker.get(node)
                if maker is None:
                    todo.append(node)
                else:
                    found[id(maker)] = maker
        return list(found.values())

    def _only_user(self, row: Row) -> Row | None:
        users = self.users.get(id(row), [])
        return users[0] if len(users) == 1 else None

    def _name_output(self) -> None:
        """Make sure that the network's output is a layer, and call it the embedding where it is one."""
        trace = self.trace
        if trace.output_node is None or trace.output_shape is None:
            return
        node = trace.canonical(trace.output_node)
        if node not in self.maker:
            row = Row(
                Site("output", ""), "output", "output", trace.output_shape, "other", trace.output_node, ""
            )
            self.rows.append(row)
            self.maker[node] = row
            self.sources[id(row)] = self._sources(row)
            for source in self.sources[id(row)]:
                self.users.setdefault(id(source), []).append(row)
        self.output = self.maker[node]
        if self.head == "embedding":
            self.output.role = "embedding"

    # blocks ------------------------------------------------------------------------------------------

    def _is_flat(self, path: str) -> bool:
        sums = self.trace.direct_roles.get(path, Counter())["residual_sum"]
        return path == "" or issubclass(self.kinds[path], GraphModule) or sums > _MOST_SUMS_OF_A_BLOCK

    def _flat_blocks(self) -> tuple[list[Row], dict[int, str]]:
        """Blocks by data flow: what lies between a sum and the nearest common ancestor of what it sums.

        Returns the rows that end the blocks, and a label for each row inside one.
        """
        sums = [(r, r.sum_node) for r in self.rows if r.sum_node is not None and self._is_flat(r.owner)]
        nodes = self.trace.nodes
        # One bit for each node that a node derives from.
        ancestors: list[int] = []
        for number, node in enumerate(nodes if sums else ()):
            bits = 1 << number
            for parent in node.parents:
                bits |= ancestors[parent]
            ancestors.append(bits)
        spans: list[tuple[int, str, Row]] = []
        for number, (row, end) in enumerate(sums, start=1):
            joint = end
            while len(nodes[joint].parents) == 1:  # a sum over stacked activations
                joint = nodes[joint].parents[0]
            common = -1
            for parent in nodes[joint].parents:
                common &= ancestors[parent]
            start = common.bit_length() - 1
            span = 0
            for between in range(start + 1, end + 1):
                if ancestors[end] >> between & 1 and ancestors[between] >> start & 1:
                    span |= 1 << between
            spans.append((span, f"block{number}", row))
        members: dict[int, str] = {}
        ends: list[Row] = []
        # The smallest first: a row belongs to the innermost block around it.
        for span, label, _ in sorted(spans, key=lambda s: s[0].bit_count()):
            for row in self.rows:
                if id(row) not in members and span >> row.node & 1:
                    members[id(row)] = label
        for _, label, row in spans:
            after = self._only_user(row)
            if after is not None and after.role == "activation" and self.sources[id(after)] == [row]:
                members.setdefault(id(after), label)
                ends.append(after)
            else:
                ends.append(row)
        return ends, members

    def _name_composites(self) -> None:
        """Give each module of modules its role."""
        direct = self.trace.direct_roles
        named = {p for p in self.trace.composites if p}
        self.residual = {
            p for p in named if not self._is_flat(p) and direct.get(p, Counter())["residual_sum"]
        }
        attention = {p for p in named if direct.get(p, Counter())["attention"]} - self.residual
        joined = {p for p in named if not self._is_flat(p) and direct.get(p, Counter())["concat"]} - attention
        blocks = self.residual | joined
        # A block without its sum (where the stride is 2, say) is a block like its sisters.
        sisters = {self.kinds[p] for p in blocks if not issubclass(self.kinds[p], _CONTAINERS)}
        blocks |= {p for p in named - attention if self.kinds[p] in sisters}
        blocks |= self._repeated(named - attention, blocks)
        self.blocks = blocks
        for row in self.rows:
            if not row.composite:
                continue
            path = row.site.path
            if path in blocks:
                row.role = "block"
            elif path in attention:
                row.role = "attention"
            else:
                row.role = self._single_role(row) or "stage"

    def _single_role(self, row: Row) -> str | None:
        """Role of a module around one single layer (or of a torch layer with children of its own)."""
        role = class_role(row.module) if row.module is not None else None
        inner = [r for r in self.rows if not r.composite and _under(r, row.site.path)]
        if role is None and len(inner) == 1 and inner[0].role not in ("embedding", "residual_sum", "concat"):
            role = inner[0].role
        return role

    def _repeated(self, paths: set[str], blocks: set[str]) -> set[str]:
        """Modules of two or more convolutions built alike, such as depthwise-separable ones."""
        layers = {p: [r for r in self.rows if not r.composite and _under(r, p)] for p in paths}
        several = {p for p in paths if sum(r.role == "conv" for r in layers[p]) > 1}
        free = {
            p
            for p in several
            if not any(_inside(p, other) or _inside(other, p) or p == other for other in blocks)
            and not any(_inside(other, p) for other in several)
            and not any(id(r) in self.flat_members for r in layers[p])
        }
        built = {p: (self.kinds[p], tuple(r.kind for r in layers[p])) for p in free}
        often = Counter(built.values())
        return {p for p in free if often[built[p]] > 1}

    def _block_of(self, row: Row) -> str | None:
        path = row.site.path
        holders = [p for p in self.residual if path == p or _inside(path, p)]
        return max(holders, key=len) if holders else self.flat_members.get(id(row))

    # the layers to look at first ---------------------------------------------------------------------

    def _defaults(self, flat: list[Row]) -> set[int]:
        free = [
            r
            for r in self.rows
            if id(r) not in self.flat_members and not any(_under(r, p) for p in self.blocks)
        ]
        block_rows = [r for r in self.rows if r.composite and r.role == "block"] + flat
        chosen = block_rows + ([] if self.output is None else [self.output])
        chosen += [r for r in free if not r.composite and r.role in ("pool", "fc", "concat")]
        if len(block_rows) < _FEW_BLOCKS:
            chosen += [self._end_of(r) for r in free if not r.composite and r.role == "conv"]
        if not chosen:
            chosen = [r for r in self.rows if not r.composite]
        unique: dict[int, Row] = {}
        for row in chosen:
            unique.setdefault(self.trace.canonical(row.node), row)
        return {id(row) for row in unique.values()}

    def _end_of(self, conv: Row) -> Row:
        """The activation after a convolution, where nothing but a norm stands between; else itself."""
        end, row = conv, self._only_user(conv)
        while row is not None and row.role in ("norm", "activation", "max_feature_map"):
            if row.role != "norm":
                end = row
            row = self._only_user(row)
        return end


def _inside(path: str, holder: str) -> bool:
    return holder == "" or path.startswith(holder + ".")


def _under(row: Row, path: str) -> bool:
    """Whether a row is made strictly inside the module at `path`."""
    if row.site.kind == "function":
        return row.owner == path or _inside(row.owner, path)
    return row.site.kind == "module" and _inside(row.site.path, path)
