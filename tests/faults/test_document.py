"""The page of failure modes names tests that exist; `python -m tests.faults.document` writes it again."""

from tests.faults.document import PAGE, SECTIONS, page


def names(text: str) -> set[str]:
    """Return the tests that a page lists, without what their docstrings add."""
    lines = [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]
    return {line.partition(":")[0].partition(" *(slow)*")[0] for line in lines}


def test_the_page_names_tests_that_exist():
    there = names(PAGE.read_text(encoding="utf-8"))
    assert len(there) > 150
    assert there - names(page()) == set(), "run: python -m tests.faults.document"


def test_every_kind_of_failure_has_tests():
    text = page()
    for title, following in zip(SECTIONS, [*list(SECTIONS)[1:], None], strict=True):
        part = text.partition(f"## {title}\n")[2]
        part = part.partition(f"## {following}\n")[0] if following else part
        assert part.count("\n- ") >= 3, title
