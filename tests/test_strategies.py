"""What devices, ranks and strategies go together."""

import copy
from types import SimpleNamespace

import pytest
import timm
import torch
import torch.distributed as dist
from tiny import tiny_config

from visionkit import strategies, train
from visionkit.backbones.sync_norms import SyncNorm, SyncNorms
from visionkit.build import plain
from visionkit.errors import ConfigError
from visionkit.launch import Launch
from visionkit.sharding import ShardedStrategy
from visionkit.strategies import arranged, by_turns, check_devices, plugins_for

WHOLE = SimpleNamespace(automatic_optimization=True)
TURNS = SimpleNamespace(automatic_optimization=False)


@pytest.fixture
def machine(monkeypatch):
    """Make this machine one of so many GPUs, or an Apple one; alone, or with other ranks."""

    def make(gpus=0, mps=False, launch=None):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(strategies, "launched", lambda: launch)
        for name in ("MASTER_ADDR", "NODE_RANK"):
            monkeypatch.delenv(name, raising=False)

    return make


@pytest.mark.parametrize(
    ("here", "settings", "told"),
    [
        ({}, {"accelerator": "gpu"}, r"trainer\.accelerator: gpu, but torch finds no GPU here"),
        ({"mps": True}, {"accelerator": "cuda"}, "cuda, but torch finds no GPU"),
        ({}, {"accelerator": "mps"}, r"trainer\.accelerator: mps, but .* no Apple GPU"),
        ({"gpus": 2}, {"devices": 3}, r"trainer\.devices: 3 asked for, this machine takes 2"),
        ({"mps": True}, {"devices": 2}, r"trainer\.devices: an Apple GPU works alone"),
        ({"mps": True}, {"accelerator": "mps", "strategy": "ddp"}, "works alone; .*strategy=auto"),
        ({"mps": True}, {"num_nodes": 2}, "works alone"),
        ({}, {"sync_batchnorm": True}, r"trainer\.sync_batchnorm: .*; set it false, or choose"),
        ({}, {"precision": "bf16-true"}, r"trainer\.precision: bf16-true .*choose bf16-mixed"),
        ({}, {"precision": 64}, r"trainer\.precision: 64 takes"),
        ({}, {"precision": "transformer-engine"}, r"trainer\.precision: transformer-engine takes"),
        ({"gpus": 2}, {"num_nodes": 2}, r"trainer\.num_nodes: 2, but nothing has started this"),
        (
            {"gpus": 4, "launch": Launch("torchrun", 0, 8, 4)},
            {"devices": 4},
            r"trainer\.num_nodes: torchrun has started 4 ranks on each of 2 nodes; "
            r"give trainer\.devices=4 trainer\.num_nodes=2$",
        ),
        (
            {"gpus": 4, "launch": Launch("srun", 0, 2, 2)},
            {"devices": 4},
            r"trainer\.devices: srun has started 2 ranks on this node; give trainer\.devices=2$",
        ),
        (
            {"gpus": 4, "launch": Launch("torchrun", 0, 7, 4)},
            {"devices": 4, "num_nodes": 2},
            "7 ranks, 4 of them on this node; every node needs as many",
        ),
    ],
)
def test_what_cannot_work_is_told(machine, here, settings, told):
    machine(**here)
    with pytest.raises(ConfigError, match=told) as error:
        check_devices(settings)
    assert len(error.value.problems) == 1


@pytest.mark.parametrize(
    ("here", "settings"),
    [
        ({}, {"accelerator": "cpu", "devices": 2}),
        ({"gpus": 2}, {"accelerator": "gpu", "devices": 2, "sync_batchnorm": True}),
        ({"gpus": 2}, {"devices": "auto"}),
        ({"mps": True}, {"accelerator": "gpu", "devices": 1, "strategy": "auto"}),
        ({"mps": True}, {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}),
        ({"gpus": 4, "launch": Launch("srun", 5, 8, 4)}, {"devices": 4, "num_nodes": 2}),
        ({"gpus": 4, "launch": Launch("torchrun", 0, 4, 4)}, {"devices": -1}),
    ],
)
def test_what_can_work_passes(machine, here, settings):
    machine(**here)
    check_devices(settings)


def test_nodes_that_a_person_starts(machine, monkeypatch):
    machine(gpus=1)
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    monkeypatch.setenv("NODE_RANK", "1")
    check_devices({"num_nodes": 2})


@pytest.mark.parametrize(
    ("words", "task", "told"),
    [
        (["strategy=fsdp"], TURNS, r"trainer\.strategy: sharding shards one network .*=ddp$"),
        (["trainer.strategy=fsdp"], TURNS, "fsdp shards one network"),
        (["trainer.strategy=fsdp"], WHOLE, "Lightning's fsdp .*; choose strategy=fsdp"),
        (["trainer.strategy=deepspeed_stage_2"], WHOLE, "Lightning's deepspeed trains can't be"),
        (["strategy=fsdp", "model.compile=true"], WHOLE, r"model\.compile: .* set it false"),
        (
            ["strategy=fsdp", "model.channels_last=true"],
            WHOLE,
            r"model\.channels_last: .* it false",
        ),
        (["trainer.accumulate_grad_batches=2"], TURNS, r"trainer\.accumulate_grad_batches: .* 1"),
    ],
)
def test_strategies_that_cannot_do_it(squares, tmp_path, words, task, told):
    spec = plain(tiny_config(squares, tmp_path, *words))
    with pytest.raises(ConfigError, match=told):
        arranged(spec, copy.copy(task))


@pytest.mark.parametrize(
    ("settings", "strategy"),
    [
        ({"strategy": "auto", "devices": 1}, None),
        ({"strategy": "auto", "devices": 2}, "ddp_find_unused_parameters_true"),
        ({"strategy": "auto", "num_nodes": 2}, "ddp_find_unused_parameters_true"),
        ({"strategy": "ddp"}, "ddp_find_unused_parameters_true"),
        ({"strategy": "ddp_spawn", "devices": 2}, "ddp_spawn_find_unused_parameters_true"),
        ({"strategy": "ddp_find_unused_parameters_true", "devices": 2}, None),
    ],
)
def test_networks_that_train_by_turns_leave_parameters_unused(settings, strategy):
    task = copy.copy(TURNS)
    found = by_turns(settings | {"gradient_clip_val": 3}, task)
    assert found.get("strategy") == strategy
    assert (task.clip, task.clip_values, found["gradient_clip_val"]) == (3.0, False, None)


def test_norms_over_all_ranks_keep_names_weights_and_activations():
    assert plugins_for({"sync_batchnorm": False}) == []
    (norms,) = plugins_for({"sync_batchnorm": True})
    assert isinstance(norms, SyncNorms)
    torch.manual_seed(0)
    model = timm.create_model("mobilenetv3_small_050", num_classes=3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    kinds = [type(m) for m in model.modules()]
    parameters = list(model.parameters())
    images = torch.rand(2, 3, 64, 64)
    expected = model.eval()(images)
    assert norms.apply(model) is model
    made = [m for m in model.modules() if isinstance(m, SyncNorm)]
    assert len(made) > 20
    assert any(list(m.children()) for m in made)  # timm's have their activation within
    assert model.state_dict().keys() == before.keys()
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    torch.testing.assert_close(model(images), expected)
    model.train().double()  # buffers are exchanged for others
    made[0].running_mean.fill_(7.0)
    norms.revert(model)
    assert [type(m) for m in model.modules()] == kinds
    assert (torch.cat([b.flatten() for b in model.buffers()]) == 7.0).any()
    assert all(m.training for m in model.modules())
    assert next(model.buffers()).dtype == torch.float64


def test_slurm_leaves_resuming_to_the_run(machine, monkeypatch):
    """Lightning would go on from a checkpoint of its own, whatever ``resume`` says."""
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    machine(launch=Launch("srun", 0, 2, 2))
    (cluster,) = plugins_for({})
    assert cluster.auto_requeue is False


def test_slurm_with_one_task_leaves_it_too_and_torchrun_within_has_its_own(machine, monkeypatch):
    for name in ("SLURM_JOB_NAME", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    machine()
    (cluster,) = plugins_for({})
    assert cluster.auto_requeue is False
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    assert plugins_for({}) == []


def test_a_trainer_takes_norms_over_all_ranks(squares, tmp_path, monkeypatch):
    """Lightning refuses such a plugin beside its own setting."""
    for module in (strategies, train):
        monkeypatch.setattr(module, "check_devices", lambda settings: None)
    words = ["trainer.sync_batchnorm=true", "trainer.devices=2", "strategy=ddp"]
    job = train.Run(tiny_config(squares, tmp_path, *words))
    assert isinstance(job.trainer.strategy._layer_sync, SyncNorms)


def test_cut_up_networks_are_validated_with_the_first_ranks_statistics(monkeypatch):
    strategy = ShardedStrategy()
    strategy._statistics = [torch.ones(3), torch.ones(2, 2)]
    monkeypatch.setattr(dist, "broadcast", lambda tensor, rank: tensor.fill_(7.0 + rank))
    strategy.on_validation_start()
    assert all((b == 7).all() for b in strategy._statistics)
