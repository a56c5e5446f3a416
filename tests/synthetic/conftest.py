import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(
    1
)  # the tests' own references too: several threads on tiny matrices wait for each other

TOYS = Path(__file__).parent / "toys"
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOYS))  # what several test modules share


def _alive(pid: int) -> bool:
    """Runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Drive:
    """`python -m synthetic` with toy studies, in a process of its own."""

    def environment(self, toy: str = "{}", pace: float = 0.0) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TOYS}", "TOY": toy, "TOY_PACE": str(pace)}

    def __call__(self, *words, toy="{}", pace=0.0, **options):
        return subprocess.run(
            self.words(*words),
            env=self.environment(toy, pace),
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )

    def start(self, *words, toy="{}", pace=0.0):
        return subprocess.Popen(
            self.words(*words),
            env=self.environment(toy, pace),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def words(*words):
        return [sys.executable, str(TOYS / "drive.py"), *map(str, words)]

    @staticmethod
    def workers(output: Path) -> list[int]:
        """Workers that ever did something for this output folder and still live."""
        path = output / "cache" / "workers"
        pids = {int(line) for line in path.read_text().splitlines()} if path.exists() else set()
        return [pid for pid in pids if _alive(pid)]


@pytest.fixture
def drive():
    return Drive()


@pytest.fixture
def toys(monkeypatch):
    """The registry holds toy studies."""
    import synthetic.studies as registry

    monkeypatch.syspath_prepend(str(TOYS))
    for name, path in (("salience", "SALIENCE"), ("slick", "SLICK")):
        monkeypatch.setitem(registry.STUDIES, name, f"toystudies:{path}")
    for name in set(registry.STUDIES) - {"salience", "slick"}:
        monkeypatch.delitem(registry.STUDIES, name)
    monkeypatch.setattr(registry, "SETUP", "toystudies:setup_for")
    monkeypatch.setattr(registry, "SETUP_FROM", "toystudies:setup_from")
    monkeypatch.setattr(registry, "SHARED_SECONDS", "toystudies:shared_seconds")
    monkeypatch.delenv("TOY", raising=False)
    return registry


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder for what takes long to compute."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def _dealt(request):
    """Where a test module says `DEALT = (module, deal)`, that module of the laboratory believes what is dealt."""
    where, deal = getattr(request.module, "DEALT", (None, None))
    with pytest.MonkeyPatch.context() as patch:
        if where is not None:
            patch.setattr(where, "knowledge", deal)
        yield


@pytest.fixture(scope="session")
def pocket_folder(tmp_path_factory):
    """A small pocket model on disk, made once."""
    from synthetic.model import LlamaSpec
    from synthetic.pocket import PocketSpec, make_pocket
    from synthetic.train_spec import TrainSpec
    from theory.world import WorldSpec

    spec = PocketSpec(
        world=WorldSpec(
            subjects=30, never_seen=4, relations=4, answers=8, derived_answers=4, mean_exposure=25.0
        ),
        llama=LlamaSpec(
            4, width=48, heads=4, kv_heads=2, hidden=96, context=192, embedding_std=0.1, weight_std=0.1
        ),
        train=TrainSpec(rate=8e-3, batch=8, epochs=2),
    )
    folder = tmp_path_factory.mktemp("pocket") / "model"
    make_pocket(folder, 7, spec)
    return folder


@pytest.fixture(scope="session")
def pocket(pocket_folder):
    """That model with its world and words."""
    from synthetic.pocket import load_pocket

    return load_pocket(pocket_folder)
