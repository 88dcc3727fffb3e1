"""The operators' handbook: each command says whether it is executed, and those that are, work."""

import pytest

from tests.documents.drill import HAPPENINGS
from tests.documents.rehearsal import HANDBOOK, Block, Happening, parse, rehearse

UNRUN = {"it needs a container engine", "it needs the AWS client and a bucket"}


def test_every_console_block_says_whether_it_is_executed_and_if_not_why() -> None:
    parts = list(parse(HANDBOOK.read_text("utf-8")))

    blocks = [part for part in parts if isinstance(part, Block)]
    assert all(block.commands for block in blocks)
    assert {block.left_out for block in blocks} - {None} == UNRUN
    assert [part.name for part in parts if isinstance(part, Happening)] == list(HAPPENINGS)


def test_a_block_that_says_nothing_is_refused_with_its_line() -> None:
    with pytest.raises(ValueError, match="line 3: the block does not say"):
        list(parse("# Deploy\n\n```console\n$ true\n```\n"))


def test_a_continued_command_is_one_command() -> None:
    (block,) = parse(
        "<!-- rehearse: bash -->\n```console\n$ echo a \\\n    b\nprinted\n$ true\n```\n"
    )

    assert block == Block(2, ("echo a \\\n    b", "true"), needs=("bash",))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.tools("docker-compose")
async def test_deploy_upgrade_backup_and_restore_work_as_the_handbook_says() -> None:
    left_out = await rehearse()

    assert {reason for _, reason in left_out} == UNRUN
