"""Examples in the OpenAPI schema; they run as they stand, and a test runs them."""

from __future__ import annotations

from fastapi.openapi.models import Example

CLASSIFY_EXAMPLES: dict[str, Example] = {
    "one text": {"value": {"inputs": "The headphones are comfortable and the battery lasts all week."}},
    "several texts, the best label only": {
        "value": {
            "inputs": [
                "The food was wonderful and the staff could not have been kinder.",
                "We waited an hour, and the soup was cold when it came.",
            ],
            "parameters": {"top_k": 1},
        }
    },
    "two texts that are read together": {
        "value": {"inputs": {"text": "Is the soup good?", "text_pair": "It was cold when it came."}}
    },
}

NOTICE = (
    "The city library in Mill Street will be closed from 3 to 21 August while its heating is replaced. Borrowed books "
    "can be returned at the branch in North Road, which is open until 8 pm on weekdays. No fines are charged during "
    "the closure. Books that were reserved before 1 August can be collected at the branch from 5 August. The "
    "children's reading hour moves to the town hall and keeps its usual time, Saturday at 10 am. The library plans to "
    "reopen with longer hours on 22 August."
)

ANSWER_EXAMPLES: dict[str, Example] = {
    "one question": {
        "value": {"inputs": {"question": "Until when is the branch open on weekdays?", "context": NOTICE}}
    },
    "the three best answers": {
        "value": {
            "inputs": {"question": "Why will the library be closed?", "context": NOTICE},
            "parameters": {"top_k": 3, "max_answer_len": 8},
        }
    },
}

# Of "Knowledge-Aware Self-Correction in Language Models via Structured Memory Graphs", from arXiv's metadata (CC0).
ABSTRACT = (
    "Large Language Models (LLMs) are powerful yet prone to generating factual errors, commonly referred to as "
    "hallucinations. We present a lightweight, interpretable framework for knowledge-aware self-correction of LLM "
    "outputs using structured memory graphs based on RDF triples. Without retraining or fine-tuning, our method "
    "post-processes model outputs and corrects factual inconsistencies via external semantic memory. We demonstrate "
    "the approach using DistilGPT-2 and show promising results on simple factual prompts."
)

SUMMARIZE_EXAMPLES: dict[str, Example] = {
    "an abstract": {"value": {"inputs": ABSTRACT}},
    "as it is written": {"value": {"inputs": ABSTRACT, "stream": True}},
    "another text, of which sentences are chosen": {"value": {"inputs": NOTICE, "parameters": {"num_sentences": 2}}},
    "the best two sentences, and what supports them": {
        "value": {
            "inputs": ABSTRACT,
            "parameters": {"strategy": "extractive", "num_sentences": 2, "sources": True},
        }
    },
    "four beams, 30 tokens at most": {
        "value": {"inputs": [ABSTRACT], "parameters": {"num_beams": 4, "max_new_tokens": 30}}
    },
}

ENTITIES_EXAMPLES: dict[str, Example] = {
    "one text": {"value": {"inputs": "The library in Mill Street is run by the city of Aberdeen."}},
    "entities of whole words": {"value": {"inputs": NOTICE, "parameters": {"aggregation_strategy": "average"}}},
}

EMBED_EXAMPLES: dict[str, Example] = {
    "one text": {"value": {"inputs": "The library is open until 8 pm on weekdays."}},
    "two queries": {
        "value": {
            "inputs": ["opening hours of the library", "how to return books"],
            "parameters": {"prompt_name": "query", "normalize": True},
        }
    },
    "a long text in parts, as bytes": {
        "value": {"inputs": NOTICE, "parameters": {"long_text": "window", "encoding_format": "base64"}}
    },
}

EXAMPLES: dict[str, dict[str, Example]] = {
    "classify": CLASSIFY_EXAMPLES,
    "answer": ANSWER_EXAMPLES,
    "summarize": SUMMARIZE_EXAMPLES,
    "entities": ENTITIES_EXAMPLES,
    "embed": EMBED_EXAMPLES,
}
"""By the task's route."""

STREAM_EXAMPLE = 'data: {"text":"The paper"}\n\ndata: {"model":"summarizer","results":[...],"usage":{...}}\n\n'
