"""Pairs of images, scored by cosine: few enough to keep of mates, only the highest and a histogram of non-mates."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from fusiform.errors import DataError

_BLOCK = 512
# Bins of the histogram: over [-1, 1], a two-thousandth of a cosine wide.
BINS = 4000


@dataclass(frozen=True)
class MatePairs:
    """Pairs of one person, by rising score.

    Attributes
    ----------
    scores : array, shape (m,)
        Cosines.
    who : int array, shape (m,)
        The person.
    """

    scores: Float[ndarray, " m"]
    who: Int[ndarray, " m"]

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class NonmatePairs:
    """Pairs of two people: those that score highest, by falling score, and how many there are of the rest.

    Attributes
    ----------
    scores : array, shape (t,)
        The t highest cosines.
    first, second : int array, shape (t,)
        The two people.
    counts : int array, shape (BINS,)
        Histogram of all of them.
    n : int
        How many there are in all.
    """

    scores: Float[ndarray, " t"]
    first: Int[ndarray, " t"]
    second: Int[ndarray, " t"]
    counts: Int[ndarray, " bins"]
    n: int


class AllPairs:
    """Every pair of images.

    Parameters
    ----------
    embedded : array, shape (n, d)
        Embeddings of length 1.
    who : int array, shape (n,)
        Who is shown, numbered from 0 without gaps.
    """

    def __init__(self, embedded: Float[ndarray, "n d"], who: Int[ndarray, " n"]) -> None:
        # People one after the other, so that mates lie in blocks on the diagonal.
        order = np.argsort(who, kind="stable")
        self._embedded, self._who = embedded[order], who[order]
        self._images = np.bincount(who).astype(np.float64)

    def mates(self) -> MatePairs:
        """All pairs of one person."""
        scores, people = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
        edges = np.concatenate([[0], np.cumsum(self._images)]).astype(np.int64)
        for person, (start, stop) in enumerate(pairwise(edges)):
            own = self._embedded[start:stop]
            scores.append((own @ own.T)[np.triu_indices(len(own), 1)])
            people.append(np.full(len(scores[-1]), person))
        return _mates(np.concatenate(scores), np.concatenate(people))

    def nonmates(self, highest: int) -> NonmatePairs:
        """The `highest` pairs of two people at least, where there are as many."""
        counts = np.zeros(BINS, dtype=np.int64)
        for _, _, _, scores in self._blocks():
            counts += np.bincount(bins_of(scores), minlength=BINS)
        above = np.cumsum(counts[::-1])[::-1]
        cut = max(int((above >= min(highest, above[0])).sum()) - 1, 0)
        kept = []
        for start, a, b, scores in self._blocks():
            high = bins_of(scores) >= cut
            kept.append((scores[high], self._who[start + a[high]], self._who[b[high]]))
        scores, first, second = (np.concatenate(column) for column in zip(*kept, strict=True))
        return _nonmates(scores, first, second, counts, int(above[0]))

    def _blocks(self) -> Iterator[tuple[int, ndarray, ndarray, ndarray]]:
        """First row of a block, its pairs of two people (row in the block, column), their scores."""
        n = len(self._who)
        for start in range(0, n, _BLOCK):
            rows = slice(start, min(start + _BLOCK, n))
            above = np.arange(n)[None, :] > np.arange(start, rows.stop)[:, None]
            a, b = (above & (self._who[rows][:, None] != self._who[None, :])).nonzero()
            yield start, a, b, (self._embedded[rows] @ self._embedded.T)[a, b]

    def weight(self, counts: Float[ndarray, " people"]) -> float:
        """How many pairs of two people there are when each person is there so many times.

        Two copies of one person are no pair of two people.
        """
        images = counts * self._images
        return float(images.sum() ** 2 - (images**2).sum()) / 2


class ListedPairs:
    """The pairs of a protocol.

    Parameters
    ----------
    embedded : array, shape (n, d)
        Embeddings of length 1.
    who : int array, shape (n,)
        Who is shown, numbered from 0 without gaps.
    first, second : int array, shape (p,)
        Rows of the pairs' images.
    """

    def __init__(
        self,
        embedded: Float[ndarray, "n d"],
        who: Int[ndarray, " n"],
        first: Int[ndarray, " p"],
        second: Int[ndarray, " p"],
    ) -> None:
        self._scores = np.einsum("pd,pd->p", embedded[first], embedded[second])
        self._first, self._second = who[first], who[second]
        self._same: Bool[ndarray, " p"] = self._first == self._second

    def mates(self) -> MatePairs:
        """All pairs of one person."""
        return _mates(self._scores[self._same], self._first[self._same])

    def nonmates(self, highest: int) -> NonmatePairs:
        """All pairs of two people, few as they are."""
        other = ~self._same
        scores = self._scores[other]
        counts = np.bincount(bins_of(scores), minlength=BINS)
        return _nonmates(scores, self._first[other], self._second[other], counts, len(scores))

    def weight(self, counts: Float[ndarray, " people"]) -> float:
        """How many pairs of two people there are when each person is there so many times."""
        other = ~self._same
        return float((counts[self._first[other]] * counts[self._second[other]]).sum())


Pairs = AllPairs | ListedPairs


def bins_of(scores: Float[ndarray, " p"]) -> Int[ndarray, " p"]:
    """The bin of each cosine."""
    return np.clip(((scores + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)


def _mates(scores: ndarray, who: ndarray) -> MatePairs:
    order = np.argsort(scores, kind="stable")
    return MatePairs(scores[order], who[order])


def _nonmates(scores: ndarray, first: ndarray, second: ndarray, counts: ndarray, n: int) -> NonmatePairs:
    order = np.argsort(-scores, kind="stable")
    return NonmatePairs(scores[order], first[order], second[order], counts, n)


def listed(
    table: pd.DataFrame, identities: pd.Series, ids: pd.Series
) -> tuple[Int[ndarray, " p"], Int[ndarray, " p"]]:
    """Read and check a table of pairs: rows of the set, whose people must be known and agree with what it says."""
    lacking = [name for name in ("first", "second") if name not in table]
    if lacking:
        raise DataError(
            f"A table of pairs has the columns 'first' and 'second' (rows of the set) and, if it likes, 'same'; "
            f"got {list(table.columns)}."
        )
    rows = table[["first", "second"]].to_numpy()
    if not np.issubdtype(rows.dtype, np.integer) or not len(rows):
        raise DataError(
            f"The pairs must be whole numbers, rows of the set, one pair at least; got {rows.dtype}, {len(rows)} pairs."
        )
    if rows.min() < 0 or rows.max() >= len(ids):
        raise DataError(
            f"The pairs name row {rows.max() if rows.max() >= len(ids) else rows.min()} of a set of {len(ids)} images."
        )
    first, second = rows.T
    if (first == second).any():
        image = ids.iloc[first[(first == second).argmax()]]
        raise DataError(f"A pair is made of two images; '{image}' is paired with itself.")
    unknown = (identities.isna().to_numpy())[rows].any(axis=1)
    if unknown.any():
        pair = rows[unknown.argmax()]
        raise DataError(
            f"{int(unknown.sum())} pairs hold an image of nobody known, the first '{ids.iloc[pair[0]]}' and "
            f"'{ids.iloc[pair[1]]}'; intervals resample people, so leave these pairs out."
        )
    if "same" in table:
        who = identities.to_numpy()
        wrong = (who[first] == who[second]) != table["same"].to_numpy(dtype=bool)
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(
                f"Pair {at} ('{ids.iloc[first[at]]}', '{ids.iloc[second[at]]}') is said to show "
                f"{'one person' if table['same'].iloc[at] else 'two people'}, but the set says '{who[first[at]]}' and "
                f"'{who[second[at]]}'."
            )
    return first, second
