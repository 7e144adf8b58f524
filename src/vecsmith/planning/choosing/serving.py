"""What a model costs after it is trained: texts encoded, an index kept and scanned.

The one rule: nothing here is weighed; these are FLOP and bytes, which `ranking` compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vecsmith.planning.accounting.flops import encoding_flops
from vecsmith.planning.checks import check_not_negative, check_positive

if TYPE_CHECKING:
    from vecsmith.planning.accounting.shapes import ModelShape

_BYTES_PER_NUMBER: Final = 4  # float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How a model will be used.

    Attributes:
        queries_per_month: Texts encoded for a search, or whatever else, a month.
        months: For how long.
        documents: Texts encoded once and kept.
        tokens_per_query: Real tokens of a query in the mean.
        tokens_per_document: Of a document.
    """

    queries_per_month: float = 0.0
    months: float = 12.0
    documents: float = 0.0
    tokens_per_query: float = 14.0
    tokens_per_document: float = 64.0

    def __post_init__(self) -> None:
        """Refuses what nobody does.

        Raises:
            ValueError: If a number is out of range.
            TypeError: If it is no number.
        """
        check_not_negative(queries_per_month=self.queries_per_month, documents=self.documents)
        check_positive(
            months=self.months,
            tokens_per_query=self.tokens_per_query,
            tokens_per_document=self.tokens_per_document,
        )

    @property
    def n_queries(self) -> float:
        """Queries of the whole time."""
        return self.queries_per_month * self.months


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCost:
    """What that costs with one model, over the whole time.

    Attributes:
        query_flops: FLOP of one query's encoding.
        queries_flops: Of all queries' encodings.
        documents_flops: Of all documents' encodings.
        search_flops: Of comparing each query with every document.
        index_bytes: Of the documents' vectors, in float32.
    """

    query_flops: float
    queries_flops: float
    documents_flops: float
    search_flops: float
    index_bytes: float

    @property
    def flops(self) -> float:
        """All of it."""
        return self.queries_flops + self.documents_flops + self.search_flops


def cost_serving(shape: ModelShape, serving: Serving) -> ServingCost:
    """What serving costs with a model of this shape, its adapters merged.

    A text of T tokens takes 2 N T FLOP and the attention's; a scan takes 2 d FLOP a document.
    """
    query = _text_flops(shape, serving.tokens_per_query)
    document = _text_flops(shape, serving.tokens_per_document)
    return ServingCost(
        query_flops=query,
        queries_flops=serving.n_queries * query,
        documents_flops=serving.documents * document,
        search_flops=serving.n_queries * serving.documents * 2.0 * shape.dim,
        index_bytes=serving.documents * shape.dim * float(_BYTES_PER_NUMBER),
    )


def _text_flops(shape: ModelShape, n_tokens: float) -> float:
    return encoding_flops(shape, tokens=n_tokens, length=n_tokens)
