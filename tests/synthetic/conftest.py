import pytest
import torch

# The tests' own references too: several threads on tiny matrices wait for each other.
torch.set_num_threads(1)


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
