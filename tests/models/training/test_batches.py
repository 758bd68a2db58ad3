"""Rows are run short ones first, and come back in their own order."""

from models.training.batches import run_by_length


def test_what_is_made_of_each_row_comes_back_in_the_rows_order() -> None:
    sizes = [(7 * number) % 50 for number in range(75)]
    seen: list[list[int]] = []

    def run(part: list[int]) -> list[str]:
        seen.append([sizes[number] for number in part])
        return [f"{number}" for number in part]

    assert run_by_length(sizes, run) == [f"{number}" for number in range(75)]
    assert [len(part) for part in seen] == [32, 32, 11]
    assert [size for part in seen for size in part] == sorted(sizes)


def test_no_rows_are_no_pass() -> None:
    assert run_by_length([], lambda part: [part[0]]) == []
