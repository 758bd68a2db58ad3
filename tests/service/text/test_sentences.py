"""Borders of sentences, and chunks of whole sentences."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text.sentences import fit, pack, sentence_spans

CHARS = 200_000
# Words, stops, brackets and spaces of many kinds: more of what matters here than plain st.text() would find.
TEXTS = st.text(st.sampled_from("aB1é界ש😀.!?…。।,;'\")(«» \t\n\r\u00a0\u2028\u200d$\\{}")) | st.text()
LENGTHS = st.lists(st.integers(0, 60), max_size=60)


def sentences_of(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["We follow Smith et al. (2019) in Fig. 3 and Tab. 2.", "It gains 3.5 points, i.e. 10.2% rel. improvement."],
        [
            "See Eq. (4) vs. Eq. 5.",
            "Scores are w.r.t. SQuAD v1.1, e.g. on the U.S. part.",
            "However, N. elegans is not.",
        ],
        ["It is good for many tasks.", "The authors publish their code.", "Our work differs."],
        [
            "George W. Bush met Dr. Smith and J. R. R. Tolkien on Jan. 5 at 6 a.m. in Washington, D.C.",
            '"We won," he said.',
        ],
        [
            "Lt. Gen. H. R. McMaster of St. Louis Inc. said no.",
            "The No. 1 team won 3-1!",
            "He doesn't live in the U.S.",
        ],
        ['"Is it?" he asked.', '"It was a great day!" said Gov. Lee.', "Then he left..."],
        ["Our code is at https://github.com/x/y.", "The model has 7B params."],
        ["我们提出一个模型。", "它很快！", "为什么？"],
        ["यह एक मॉडल है।", "यह तेज़ है।"],
    ],
)
def test_borders_stand_where_a_reader_sees_them(sentences: list[str]) -> None:
    assert sentences_of(" ".join(sentences)) == sentences


def test_a_blank_line_is_a_border() -> None:
    assert sentences_of("A heading\n\nno capital follows\r\n \r\n3. item") == [
        "A heading",
        "no capital follows",
        "3. item",
    ]


def test_a_line_break_alone_is_none() -> None:
    assert sentences_of("One sentence\nover two lines.\nAnother.") == ["One sentence\nover two lines.", "Another."]


@pytest.mark.parametrize(
    "sentences",
    [
        [
            "Ticket #88213, opened by Tom Reed",
            "After the upgrade the nightly export fails, as it did in the two years before.",
        ],
        ["[09:02] Lena: who brings it", "[09:03] Omar: I can, but only after eleven o'clock", "[09:05] Sue: me too"],
        ["From: Priya Nair <priya@northwind.example>", "To: Facilities", "Date: Mon, 3 Nov 2025"],
        ["You need the following things", "- eggs and sugar for the dough of it", "- 100 g of flour"],
        ["A paragraph of one line without a stop, " * 3 + "that is longer than a page is wide", "and another one."],
    ],
)
def test_a_line_break_that_was_not_made_to_fit_a_page_is_a_border(sentences: list[str]) -> None:
    assert sentences_of("\n".join(sentences)) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "A sentence that an editor broke because its words\ndid not fit into the page, which is narrow,\nends here.",
        "A line of a PDF may be rather\nshort although the next one goes on in small letters.",
        "def first(items):\n    return items[0] if items else None",
    ],
)
def test_a_line_break_inside_a_sentence_is_none(text: str) -> None:
    assert sentences_of(text) == [text]


@given(TEXTS)
def test_every_character_but_space_lies_in_exactly_one_sentence(text: str) -> None:
    spans = sentence_spans(text)
    inside = [index for start, end in spans for index in range(start, end)]
    assert inside == sorted(set(inside))
    assert all(text[index].isspace() for index in set(range(len(text))) - set(inside))
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)


@pytest.mark.parametrize(
    "unit",
    [
        *"a.?\n (😀。",
        "?!",
        ". ",
        "?\n",
        "a. ",
        "😀. ",
        "שלום. עולם! ",
        '." ',
        "et al. ",
        "$\\alpha_{1.}$ \\cite{a.b}. ",
        "।",
        "۔",
        "?" * 99 + " ",
    ],
)
def test_no_text_of_the_largest_size_is_slow(unit: str) -> None:
    text = (unit * CHARS)[:CHARS]
    began_s = time.process_time()
    spans = sentence_spans(text)
    assert time.process_time() - began_s < 5  # the slowest takes 0.7 s; without the guards "?" and "।" take minutes
    assert sum(end - start for start, end in spans) >= len("".join(text.split())) * bool(text.strip())


def by_characters(texts: list[str]) -> list[int]:
    """As a byte-level tokenizer counts at worst."""
    return [len(text.encode("utf-8", "surrogatepass")) for text in texts]


def test_only_sentences_that_are_too_long_are_cut_and_at_spaces() -> None:
    text = "Short one. A sentence of rather many words that does not fit."
    spans, lengths = fit(text, sentence_spans(text), 20, by_characters)
    assert [text[start:end] for start, end in spans] == [
        "Short one.",
        "A sentence of",
        "rather many words",
        "that does not fit.",
    ]
    assert lengths == [10, 13, 17, 18]


@given(TEXTS, st.integers(4, 40))
def test_cutting_keeps_every_character_but_space(text: str, room: int) -> None:
    spans, lengths = fit(text, sentence_spans(text), room, by_characters)
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())
    assert lengths == by_characters([text[start:end] for start, end in spans])
    assert all(length <= room for length in lengths)


def test_a_long_word_is_cut_into_few_rounds() -> None:
    rounds: list[int] = []

    def count(texts: list[str]) -> list[int]:
        rounds.append(sum(map(len, texts)))
        return by_characters(texts)

    spans, _ = fit("é" * CHARS, [(0, CHARS)], 382, count)
    assert len(spans) == 1048  # what 400,000 bytes need
    assert rounds == [CHARS, CHARS]


@given(LENGTHS, st.integers(1, 100))
def test_chunks_hold_all_sentences_in_order_and_fit(lengths: list[int], room: int) -> None:
    chunks = pack(lengths, room)
    assert [index for chunk in chunks for index in chunk] == list(range(len(lengths)))
    assert all(chunk and (len(chunk) == 1 or sum(lengths[i] for i in chunk) <= room) for chunk in chunks)


@given(LENGTHS, st.integers(1, 100))
def test_there_are_no_more_chunks_than_first_fit_makes(lengths: list[int], room: int) -> None:
    fewest, filled = 0, room + 1
    for length in lengths:
        if filled + length > room:
            fewest, filled = fewest + 1, 0
        filled += length
    assert len(pack(lengths, room)) == fewest


def test_the_last_chunk_is_no_tiny_rest() -> None:
    assert pack([10] * 10, 40) == [range(3), range(3, 7), range(7, 10)]
    assert pack([100, 100, 100, 90, 10, 5], 390) == [range(2), range(2, 6)]
    assert pack([20] * 41, 400) == [range(14), range(14, 28), range(28, 41)]


def test_nothing_makes_no_chunks() -> None:
    assert sentence_spans(" \n\t ") == []
    assert fit("", [], 10, by_characters) == ([], [])
    assert pack([], 10) == []
