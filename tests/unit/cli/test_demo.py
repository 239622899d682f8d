"""The demonstration's plan, checks and contact sheet; the whole of it runs in the integration tests."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modelpool_cli.demo.moves import Move, read_moves
from modelpool_cli.demo.plan import VIDEO_MODEL, DemoJob, plan
from modelpool_cli.demo.report import checks_of
from modelpool_cli.demo.sending import Done, Sender
from modelpool_cli.demo.sheet import Cell, contact_sheet
from modelpool_cli.demo.verify import NotValid, read_picture, read_video

PLAN = plan()
GIB = 2**30
LOAD = Move("load", "shapes-neon", "studio-secondary-0", "1 job waits for shapes-neon")
SWAP = Move("unload", "shapes-outline", "studio-secondary-0", "shapes-neon comes instead")


def test_the_plan_covers_all_models_both_lanes_a_repeat_and_a_video() -> None:
    assert len(PLAN) >= 24
    assert len({job.model for job in PLAN}) == 5
    assert {job.paid for job in PLAN} == {True, False}
    assert [job for job in PLAN if job.moves and job.model == VIDEO_MODEL]
    assert len({job.name for job in PLAN}) == len(PLAN)


def test_only_the_repeat_asks_for_the_same_as_another() -> None:
    requests = Counter((job.model, job.prompt, job.seed) for job in PLAN)
    (repeat,) = [job for job in PLAN if job.repeats]
    assert [count for count in requests.values() if count > 1] == [2]
    assert requests[repeat.model, repeat.prompt, repeat.seed] == 2


def test_every_rotating_model_is_asked_for_in_both_lanes() -> None:
    for model in ("shapes-outline", "shapes-neon", "shapes-mosaic"):
        assert {job.paid for job in PLAN if job.model == model} == {True, False}


def done(folder: Path, job: DemoJob, **shown: Any) -> Done:
    file = folder / f"{job.name}{job.extension}"
    file.write_bytes((job.repeats or job.name).encode())
    lane = "paid" if job.paid else "anonymous"
    return Done(job, {"lane": lane, "cached": job.repeats is not None, **shown}, file)


def failing(
    all_done: list[Done], problems: tuple[str, ...] = (), moves: tuple[Move, ...] = (SWAP,), pss: int = GIB
) -> set[str]:
    return {check.what for check in checks_of(all_done, problems, moves, pss) if not check.holds}


def test_a_good_run_passes_every_check(tmp_path: Path) -> None:
    assert failing([done(tmp_path, job) for job in PLAN]) == set()


def test_each_thing_that_goes_wrong_fails_its_check(tmp_path: Path) -> None:
    good = [done(tmp_path, job) for job in PLAN]
    assert failing(good, problems=("a.png does not decode",)) == {"every file is valid"}
    assert failing(good, moves=(LOAD,)) == {"models made room for others"}
    assert failing(good, pss=9 * GIB) == {"memory"}
    assert failing([*good, Done(PLAN[0], {}, problem="out of memory")]) == {"every job succeeded"}
    assert failing([one for one in good if one.job.paid]) >= {"both lanes were served"}


def test_a_repeat_that_was_made_anew_fails(tmp_path: Path) -> None:
    anew = [done(tmp_path, job, cached=False) for job in PLAN]
    assert failing(anew) == {"the repeated request came from the cache"}


def test_a_repeat_with_other_bytes_fails(tmp_path: Path) -> None:
    all_done = [done(tmp_path, job) for job in PLAN]
    (tmp_path / "flat-1-again.png").write_bytes(b"another picture")
    assert failing(all_done) == {"the repeated request came from the cache"}


def test_pictures_must_decode_and_have_their_size(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (8, 8), "red").save(file)
    assert read_picture(file, (8, 8)).getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(NotValid, match="is 8×8 and should be 64×64"):
        read_picture(file, (64, 64))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(NotValid, match="does not decode"):
        read_picture(file, (8, 8))


def test_a_video_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"not a video")
    with pytest.raises(NotValid, match="does not decode"):
        read_video(file, (64, 64))


def test_the_contact_sheet_holds_every_picture_enlarged() -> None:
    red = Image.new("RGB", (64, 64), "red")
    page = contact_sheet([Cell(red, "flat-1", "a red square")] * 7, [("motion", [red] * 8)], "title")
    small = contact_sheet([Cell(red, "flat-1", "a red square")], [], "title")
    assert page.height > small.height
    colours = page.getcolors(maxcolors=page.width * page.height)
    assert colours is not None
    # Seven cells of 176 × 176, and the strip besides.
    assert {colour: count for count, colour in colours}[(255, 0, 0)] > 7 * 170 * 170


def test_moves_are_read_from_the_operators_log_and_other_lines_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "operator.log"
    line = {"message": "…", "action": "unload", "model": SWAP.model, "slot": SWAP.slot, "why": SWAP.why}
    log.write_text(f"Traceback: x\n{json.dumps({'message': 'catalog published'})}\n[]\n{json.dumps(line)}\n")
    assert read_moves(log) == [SWAP]
    assert read_moves(tmp_path / "missing.log") == []


def test_a_job_that_does_not_end_in_time_is_a_problem_and_no_waiting_for_ever(tmp_path: Path) -> None:
    class Stuck(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"id": "x-1", "state": "running"}'
            self.send_response(202)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stuck) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        (one,) = Sender(url, "key", tmp_path, seconds=0).send_all([PLAN[0]], lambda done: None)
        server.shutdown()
    assert one.problem == "job x-1 running"
    assert one.file is None
