from pathlib import Path

import pytest

from modelpool.resources.load import load_pool
from modelpool.resources.spec import ModelPool
from modelpool_local.options import ADMISSION, UpOptions
from modelpool_local.workers import threads_per_slot

FILE = Path("pool.yaml")


def test_results_lie_in_the_state_folder_unless_said_otherwise(tmp_path: Path) -> None:
    assert UpOptions(FILE).store_url(tmp_path) == f"file://{tmp_path}"


@pytest.mark.parametrize("store", ["s3://bucket/prefix?region=x", "file:///srv/results"])
def test_a_stores_url_is_taken_as_it_is(store: str, tmp_path: Path) -> None:
    assert UpOptions(FILE, store=store).store_url(tmp_path) == store


def test_a_stores_folder_becomes_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert UpOptions(FILE, store="my results").store_url(tmp_path) == f"file://{tmp_path}/my%20results"


def test_an_ipv6_address_is_bracketed_in_the_url() -> None:
    assert UpOptions(FILE, host="::1", port=9000).url == "http://[::1]:9000"


@pytest.mark.parametrize(("cores", "slots", "threads"), [(2, 7, 1), (8, 7, 1), (16, 7, 2), (4, 1, 4)])
def test_cores_are_shared_among_the_slots(cores: int, slots: int, threads: int) -> None:
    assert threads_per_slot(cores, slots) == threads


def annotated(*annotations: object) -> ModelPool:
    pool = load_pool(Path(__file__).parents[3] / "examples" / "small.yaml")
    metadata = pool.metadata.model_copy(update={"annotations": annotations[0] if annotations else None})
    return pool.model_copy(update={"metadata": metadata})


@pytest.mark.parametrize(
    ("annotations", "said", "taken"),
    [
        (None, None, "local"),
        ({"team": "art"}, None, "local"),
        ({ADMISSION: "public"}, None, "public"),
        ({ADMISSION: "public"}, "local", "local"),
        ({ADMISSION: "admission.yaml"}, None, "pools/admission.yaml"),
        ({ADMISSION: "/etc/admission.yaml"}, None, "/etc/admission.yaml"),
        (None, "mine.yaml", "mine.yaml"),
    ],
)
def test_one_line_in_the_pools_file_says_who_may_take_how_much(
    annotations: dict[str, str] | None, said: str | None, taken: str
) -> None:
    options = UpOptions(Path("pools/pool.yaml"), admission=said)
    assert options.admission_for(annotated(annotations)) == taken
