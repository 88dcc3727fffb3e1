"""Numbers and names of the pages: bars, shares, stages in time, words."""

from datetime import UTC, date, datetime, timedelta

import pytest

from activities.generations.reading import Event
from activities.ledger.daily import DaySpend
from starter.api.pages.details import steps_of
from starter.api.pages.plots import HEIGHT, LEFT, WIDTH, plot_of, shares_of, taken_of, top_of
from starter.api.pages.words import left, limits_of_image, span, words
from workflows.contracts.catalogue import ImageLimits
from workflows.contracts.progress import Progress
from workflows.contracts.stages import Stage

TODAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_spend(days_ago: int, usd_micros: int, *, model: str = "a", source: str = "api") -> DaySpend:
    return DaySpend(
        day=TODAY - timedelta(days=days_ago),
        model=model,
        source=source,
        videos_reserved=0,
        videos_settled=1,
        reserved_usd_micros=0,
        settled_usd_micros=usd_micros,
    )


def test_each_day_has_a_bar_as_high_as_what_was_spent_on_it() -> None:
    spent = [a_spend(1, 250_000), a_spend(1, 250_000, model="b"), a_spend(3, 250_000)]

    plot = plot_of(spent, TODAY, 30)

    heights = {bar.day: bar.height for bar in plot.bars if bar.height}
    assert len(plot.bars) == 30
    assert set(heights) == {TODAY - timedelta(days=1), TODAY - timedelta(days=3)}
    assert heights[TODAY - timedelta(days=1)] == 2 * heights[TODAY - timedelta(days=3)]
    assert plot.total_usd_micros == 750_000
    assert plot.told == "$0.75 on 2 days, most on 22 November with $0.50."


@pytest.mark.parametrize("usd_micros", [0, 1, 99_999, 250_000, 700_000_000_001])
def test_nothing_stands_outside_of_the_plot(usd_micros: int) -> None:
    plot = plot_of([a_spend(0, usd_micros), a_spend(29, usd_micros)], TODAY, 30)

    for bar in plot.bars:
        assert LEFT <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
    assert plot.lines[0].usd_micros == 0
    assert plot.lines[-1].usd_micros >= usd_micros


def test_an_axis_ends_at_a_round_number() -> None:
    tops = [top_of(each) for each in (0, 100_000, 100_001, 250_000, 600_000, 3_000_000)]

    assert tops == [100_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000]


def test_shares_are_told_the_dearest_first_and_add_up() -> None:
    spent = [a_spend(0, 100, model="b"), a_spend(1, 300, model="a"), a_spend(2, 100, model="a")]

    shares = shares_of(spent, lambda row: row.model)

    assert [(each.name, each.videos, each.usd_micros) for each in shares] == [
        ("a", 2, 400),
        ("b", 1, 100),
    ]
    assert [each.percent for each in shares] == [100, 25]
    assert shares_of([], lambda row: row.model) == []


def test_what_is_taken_is_never_more_than_the_whole_bar() -> None:
    assert taken_of(10, 4, 1)[1:] == (40, 10)
    assert sum(taken_of(2, 4, 1)[1:]) == 100
    assert sum(taken_of(0, 0, 0)[1:]) == 0
    assert not taken_of(None, 4, 1).limited


def test_stages_lie_one_after_another_and_the_last_one_goes_on_or_is_the_end() -> None:
    def happened(*stages: Stage) -> list[Event]:
        return [
            Event(number + 1, stage, NOON + timedelta(seconds=number * 10), {})
            for number, stage in enumerate(stages)
        ]

    running = steps_of(happened(Stage.ACCEPTED, Stage.RESERVING), NOON + timedelta(seconds=40))
    ended = steps_of(happened(Stage.ACCEPTED, Stage.FAILED), NOON + timedelta(days=1))

    assert [(step.took_s, step.from_percent, step.wide_percent) for step in running] == [
        (10, 0, 25),
        (None, 25, 75),
    ]
    assert [(step.took_s, step.wide_percent) for step in ended] == [(10, 100), (None, 0)]
    assert steps_of([], NOON) == []


@pytest.mark.parametrize(
    ("eta_s", "told"),
    [(None, "40 %"), (0, "40 %"), (2, "40 % · about 5 s left"), (95, "40 % · about 2 min left")],
)
def test_what_is_left_is_told_roughly(eta_s: int | None, told: str) -> None:
    progress = Progress(
        stage=Stage.GENERATING, percent=40, eta_s=eta_s, elapsed_s=10, message="It goes on"
    )

    assert left(progress) == told


def test_times_and_limits_are_words() -> None:
    limits = ImageLimits(
        mime_types=("image/jpeg", "image/webp"),
        size_bytes_max=10 * 1024 * 1024,
        side_px_min=360,
        side_px_max=2000,
    )

    spans = [span(each) for each in (0.44, 89.9, 120, 185)]

    assert spans == ["0.4 s", "89.9 s", "2 min", "3 min 5 s"]
    assert limits_of_image(limits) == "JPEG, WebP; 360 to 2000 px a side; up to 10 MB"
    assert [words("story_writer"), words("api")] == ["Story writer", "API"]
