"""Every adversarial model on two processes: finite losses, the same weights on both."""

import os
import socket

import lightning
import pytest
import torch
from omegaconf import open_dict
from ranks import on_ranks
from small_gans import MODELS, make_images, make_sides, small_run

from visionkit import train

STEPS = 50
SECONDS = 400


class Keep(lightning.Callback):
    """Leaves each rank's weights, and how many batches Lightning counted."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_end(self, trainer, module):
        weights = {k: v.detach().clone() for k, v in module.model.named_parameters()}
        own = module.state_dict().items()  # of the task: how often pictures change, and its like
        weights |= {k: v.clone() for k, v in own if not k.startswith("model.")}
        losses = {k: float(v) for k, v in trainer.callback_metrics.items() if "train/" in k}
        kept = {"weights": weights, "losses": losses, "steps": trainer.global_step}
        torch.save(kept, f"{self.folder}/{trainer.global_rank}.pt")


def _work(number: int, folder: str, port: int, images: str, sides: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "GROUP_RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "TORCHELASTIC_RUN_ID": "here",
    }
    for model in MODELS:
        run_dir = f"{folder}/{model}"
        os.makedirs(run_dir, exist_ok=True)
        short = ["strategy=ddp", "trainer.devices=2", "trainer.check_val_every_n_epoch=100"]
        short += [f"trainer.max_steps={STEPS}", "trainer.max_epochs=100", "callbacks=null"]
        cfg = small_run(model, images, sides, run_dir, *short)
        with open_dict(cfg):
            cfg.allow = ["test_gan_ranks"]
            cfg.callbacks = {"keep": {"_target_": "test_gan_ranks.Keep", "folder": run_dir}}
        assert train.Run(cfg).fit()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The folder in which two processes left what they trained."""
    folder = tmp_path_factory.mktemp("gans")
    images, sides = make_images(folder / "images"), make_sides(folder / "sides")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    on_ranks(_work, 2, SECONDS, str(folder), port, str(images), str(sides))
    return folder


@pytest.mark.parametrize("model", list(MODELS))
def test_replicas_stay_equal(ranks, model):
    first, second = (torch.load(ranks / model / f"{n}.pt") for n in (0, 1))
    assert first["steps"] == second["steps"] == STEPS  # one for each batch, not for each optimizer
    assert all(torch.isfinite(torch.tensor(v)) for v in first["losses"].values())
    assert first["losses"] and first["losses"] != second["losses"]  # each has pictures of its own
    assert first["weights"].keys() == second["weights"].keys()
    unlike = [k for k, v in first["weights"].items() if not torch.equal(v, second["weights"][k])]
    assert unlike == []
