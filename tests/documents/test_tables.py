"""What the documents say in tables is what the code says."""

import re
from pathlib import Path

import pytest

from workflows.contracts.failures import RULES, FailureKind

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
BACKENDS = (REPOSITORY / "docs" / "backends.md").read_text()


def test_every_failure_kind_is_listed_with_its_rule() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| (\w+) \| (\d) \|$", BACKENDS, re.MULTILINE)

    said = {kind: (retry, pays, int(code)) for kind, retry, pays, code in rows}

    ruled = {kind.value: (rule.retry, rule.pays, rule.exit_code) for kind, rule in RULES.items()}
    assert said == ruled


def test_every_failure_kind_has_a_rule() -> None:
    assert set(RULES) == set(FailureKind)


DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] + [
    f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md"))
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    text = (REPOSITORY / document).read_text()
    named = re.findall(
        r"`((?:workflows|activities|workers|starter|tests|deploy|docs|benchmarks)/[\w./-]+)`", text
    )

    missing = [name for name in named if not (REPOSITORY / name).exists() and "NNNN" not in name]

    assert missing == []


def test_the_readme_stays_a_page_or_two() -> None:
    assert README.count("\n") <= 200


def test_a_first_own_video_takes_six_commands_at_most() -> None:
    section = README.split("## A first video of your own")[1].split("\n## ")[0]

    commands = re.findall(r"^\$ (.+)$", section, re.MULTILINE)

    assert 0 < sum(line.count("&&") + 1 for line in commands) <= 6


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_of_a_document_leads_somewhere(document: str) -> None:
    path = REPOSITORY / document
    text = path.read_text("utf-8")
    links = re.findall(r"\]\(((?!https://)[^)#]+)(?:#[^)]*)?\)", text)
    links += re.findall(r'<img src="([^"]+)"', text)

    missing = [link for link in links if not (path.parent / link).exists()]

    assert missing == []
