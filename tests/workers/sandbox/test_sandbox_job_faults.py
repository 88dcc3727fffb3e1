"""Faults of jobs and their outputs: fixed when a job is accepted, seen when it ends."""

import base64
import io

import av
import httpx
import pytest

from tests.workers.sandbox.conftest import SMALL, TALKING, Provider, a_picture, until


def boxes(content: bytes) -> list[tuple[str, int]]:
    """The top-level boxes of an MP4 with the sizes that they claim."""
    found: list[tuple[str, int]] = []
    at = 0
    while at + 8 <= len(content):
        size = int.from_bytes(content[at : at + 4])
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16])
        found.append((content[at + 4 : at + 8].decode(), size))
        at += size
    return found


async def test_a_failed_job_says_so_and_is_refunded(quick: Provider) -> None:
    await quick.faults(job={"kind": "failed", "message": "GPU on fire"})

    failed = await quick.run(resolution="480p")

    bills = await quick.bills(failed["id"])
    assert (failed["status"], failed["error"], failed["code"]) == ("failed", "GPU on fire", 1405)
    assert failed["outputs"] == []
    assert [(each["billing_type"], each["price"]) for each in bills] == [
        ("deduct", 250_000),
        ("refund", 250_000),
    ]


async def test_a_moderated_job_fails_with_its_code(quick: Provider) -> None:
    await quick.faults(job={"kind": "moderated", "times": 1})

    first, second = await quick.run(), await quick.run()

    assert (first["status"], first["code"]) == ("failed", 1200)
    assert second["status"] == "completed"


@pytest.mark.parametrize("status", ["cancelled", "timeout"])
async def test_a_job_can_end_in_a_rarer_state(quick: Provider, status: str) -> None:
    await quick.faults(job={"kind": "ended", "status": status})

    assert (await quick.run())["status"] == status


async def test_a_hanging_job_ends_when_the_fault_is_cleared(quick: Provider) -> None:
    await quick.faults(job={"kind": "hang"})
    prediction_id = await quick.submit()

    async def is_rendered() -> bool:
        return bool(list((quick.data_dir / "outputs").glob(f"{prediction_id}.mp4")))

    await until(is_rendered)
    hanging = await quick.data("GET", f"predictions/{prediction_id}")

    await quick.http.delete(f"{quick.origin}/sandbox/faults", params={"area": "job"})

    assert hanging["status"] == "processing"
    assert (await quick.ended(prediction_id))["status"] == "completed"


async def test_one_of_the_hanging_jobs_can_be_let_go(quick: Provider) -> None:
    await quick.faults(job={"kind": "hang"})
    first, second = await quick.submit(prompt="the first"), await quick.submit(prompt="the other")

    await quick.http.delete(f"{quick.origin}/sandbox/faults?area=job&match=the%20first")

    assert (await quick.ended(first))["status"] == "completed"
    assert (await quick.data("GET", f"predictions/{second}"))["status"] == "processing"


async def test_the_log_tells_when_an_end_was_read(quick: Provider) -> None:
    await quick.faults(job={"kind": "hang"})
    prediction_id = await quick.submit()
    await quick.data("GET", f"predictions/{prediction_id}/result")
    [before] = (await quick.log())["predictions"]

    await quick.http.delete(f"{quick.origin}/sandbox/faults?area=job")
    await quick.ended(prediction_id)

    [after] = (await quick.log())["predictions"]
    assert (before["reads"], before["end_read_at"]) == (1, None)
    assert after["reads"] >= 2
    assert after["created_at"] < after["ended_at"] <= after["end_read_at"] <= after["read_at"]


async def test_a_job_keeps_the_faults_of_the_moment_it_was_accepted(quick: Provider) -> None:
    await quick.faults(job={"kind": "failed"})
    prediction_id = await quick.submit()

    await quick.faults(job=[])

    assert (await quick.ended(prediction_id))["status"] == "failed"


async def test_a_job_can_complete_without_outputs(quick: Provider) -> None:
    await quick.faults(job={"kind": "no_outputs"})

    done = await quick.run()

    assert (done["status"], done["outputs"]) == ("completed", [])


async def test_an_output_can_be_flagged(quick: Provider) -> None:
    await quick.faults(job={"kind": "nsfw"})

    assert (await quick.run())["has_nsfw_contents"] == [True]


async def test_outputs_can_be_objects_and_several(quick: Provider) -> None:
    await quick.faults(
        output=[*SMALL, {"kind": "object_outputs"}, {"kind": "several_outputs", "count": 3}]
    )

    done = await quick.run()

    files = [await quick.download(each["url"]) for each in done["outputs"]]
    assert [each.status_code for each in files] == [200, 200, 200]
    assert done["has_nsfw_contents"] == [False, False, False]


async def test_a_cut_file_opens_and_keeps_its_length_to_itself(quick: Provider) -> None:
    await quick.faults(output=[*SMALL, {"kind": "cut_file", "fraction": 0.8}])

    reply = await quick.download((await quick.run())["outputs"][0])

    assert int(reply.headers["content-length"]) == len(reply.content)
    assert sum(size for _, size in boxes(reply.content)) > len(reply.content)
    with av.open(io.BytesIO(reply.content), "r") as container:
        assert container.streams.video[0].frames == 12


async def test_a_connection_is_cut_for_the_first_downloads(quick: Provider) -> None:
    await quick.faults(output=[*SMALL, {"kind": "cut_connection", "downloads": 2}])
    url = (await quick.run())["outputs"][0]

    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            await quick.download(url)

    assert (await quick.download(url)).status_code == 200


async def test_a_page_stands_where_the_video_should_be(quick: Provider) -> None:
    await quick.faults(output=[*SMALL, {"kind": "html"}])

    reply = await quick.download((await quick.run())["outputs"][0])

    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")


async def test_an_expired_url_is_replaced_when_the_prediction_is_read_again(
    quick: Provider,
) -> None:
    await quick.faults(output=[*SMALL, {"kind": "expired"}])
    done = await quick.run()

    refused = [await quick.download(done["outputs"][0]) for _ in "12"]
    again = await quick.data("GET", f"predictions/{done['id']}/result")

    assert [each.status_code for each in refused] == [403, 403]
    assert again["outputs"] != done["outputs"]
    assert (await quick.download(again["outputs"][0])).status_code == 200


async def test_a_video_can_have_another_size_and_another_duration(sandbox: Provider) -> None:
    await sandbox.faults(
        output=[
            {"kind": "other_size", "width": 128, "height": 72},
            {"kind": "other_duration", "duration_s": 1.25},
        ]
    )

    reply = await sandbox.download((await sandbox.run())["outputs"][0])

    with av.open(io.BytesIO(reply.content), "r") as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == (128, 72)
        assert container.duration == pytest.approx(1_250_000, abs=20_000)


async def test_a_clip_that_is_ready_is_the_output_of_every_job(sandbox: Provider) -> None:
    await sandbox.faults(output={"kind": "ready"})

    first, second = await sandbox.run(prompt="a sunrise"), await sandbox.run(prompt="a storm")

    videos = [(await sandbox.download(each["outputs"][0])).content for each in (first, second)]
    with av.open(io.BytesIO(videos[0]), "r") as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (320, 180)
        assert (video.duration or 0) / av.time_base == pytest.approx(1.0, abs=0.1)
    assert videos[0] == videos[1]


async def test_a_big_output_is_a_whole_mp4_that_takes_no_room(quick: Provider) -> None:
    size_bytes = 20_000_000
    await quick.faults(output=[*SMALL, {"kind": "big", "size_bytes": size_bytes}])

    reply = await quick.download((await quick.run())["outputs"][0])

    (file,) = (quick.data_dir / "outputs").glob("*.mp4")
    assert len(reply.content) == size_bytes
    assert sum(size for _, size in boxes(reply.content)) == size_bytes
    assert file.stat().st_blocks * 512 < 1_000_000
    with av.open(io.BytesIO(reply.content), "r") as container:
        assert sum(1 for _ in container.decode(video=0)) == 12


@pytest.mark.parametrize(
    ("inputs", "code", "says"),
    [
        ({"image": "http://127.0.0.1:9/none.jpg"}, 1402, "fetch"),
        ({"image": "data:image/png;base64,%%%"}, 1402, "base64"),
        ({"image": "data:image/png;base64,AAAA"}, 1402, "image can't be read"),
        ({"image": "small"}, 1401, "360"),
        ({"audio": "data:audio/wav;base64,AAAA"}, 1402, "audio can't be read"),
    ],
)
async def test_a_job_whose_media_is_of_no_use_fails_with_the_providers_code(
    quick: Provider, inputs: dict[str, str], code: int, says: str
) -> None:
    if inputs.get("image") == "small":
        inputs = {"image": await quick.upload(a_picture(359, 400))}

    failed = await quick.run(**inputs)

    assert (failed["status"], failed["code"]) == ("failed", code)
    assert says in failed["error"]


async def test_a_data_uri_is_a_picture_too(quick: Provider) -> None:
    await quick.faults(output=SMALL)
    picture = "data:image/jpeg;base64," + base64.b64encode(a_picture()).decode()

    assert (await quick.run(image=picture))["status"] == "completed"


async def test_a_talking_avatar_without_readable_audio_is_not_billed(quick: Provider) -> None:
    image = await quick.upload(a_picture())
    audio = await quick.upload(b"not audio", "speech.wav")

    failed = await quick.run(TALKING, image=image, audio=audio)

    assert (failed["status"], failed["code"]) == ("failed", 1402)
    assert await quick.bills(failed["id"]) == []
