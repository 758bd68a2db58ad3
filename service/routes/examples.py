"""Examples in the OpenAPI schema; they run as they stand, and a test runs them."""

from __future__ import annotations

from fastapi.openapi.models import Example

CLASSIFY_EXAMPLES: dict[str, Example] = {
    "one text": {"value": {"inputs": "A charming film, and often a moving one."}},
    "several texts, the best label only": {
        "value": {
            "inputs": ["I would watch it again tomorrow.", "Two hours that I will not get back."],
            "parameters": {"top_k": 1},
        }
    },
}

_CONTEXT = (
    "The Rhine rises in the Swiss Alps and flows through Germany and the Netherlands to the North Sea. "
    "It is about 1,230 km long. Rotterdam, near its mouth, has the largest port in Europe."
)

ANSWER_EXAMPLES: dict[str, Example] = {
    "one question": {"value": {"inputs": {"question": "How long is the Rhine?", "context": _CONTEXT}}},
    "the three best answers": {
        "value": {
            "inputs": {"question": "Where does the Rhine rise?", "context": _CONTEXT},
            "parameters": {"top_k": 3, "max_answer_len": 8},
        }
    },
}

_ABSTRACT = (
    "Servers for neural networks answer many small requests at once. Running each alone wastes the processor, and "
    "waiting for a full batch wastes the client's time. We present a scheduler that forms batches from whatever is "
    "waiting when a worker becomes free. Rows of similar length share a batch, so that little is computed on padding. "
    "On two processor cores it doubles the throughput of a text classifier without adding latency for a lone request."
)

SUMMARIZE_EXAMPLES: dict[str, Example] = {
    "one text": {"value": {"inputs": _ABSTRACT}},
    "as it is written": {"value": {"inputs": _ABSTRACT, "stream": True}},
    "the best two sentences, and what supports them": {
        "value": {
            "inputs": _ABSTRACT,
            "parameters": {"strategy": "extractive", "num_sentences": 2, "sources": True},
        }
    },
    "four beams, 30 tokens at most": {
        "value": {"inputs": [_ABSTRACT], "parameters": {"num_beams": 4, "max_new_tokens": 30}}
    },
}
