"""Job scripts for SLURM, PBS and LSF (the last two were never run), and manifests of pods."""

from __future__ import annotations

import re

import dask
import pytest
import yaml

from tilegc.cluster.jobs import Wanted, job_options
from tilegc.cluster.kubernetes import manifest
from tilegc.cluster.queues import CLUSTERS
from tilegc.cluster.settings import DRIVER, ONE_THREAD
from tilegc.config import Compute
from tilegc.errors import ConfigError

COMPUTE = Compute.model_validate(
    {
        "scratch": "$TMPDIR",
        "jobs": {
            "queue": "q",
            "account": "p1",
            "walltime": "02:00:00",
            "workers_per_job": 4,
            "interface": "lo",
            "directives": ["-x"],
            "prologue": ["module load python"],
        },
    }
)

HEADS = {
    "slurm": {
        "#SBATCH -p q",
        "#SBATCH -A p1",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=8492M",
        "#SBATCH -t 02:00:00",
        "#SBATCH -x",
    },
    "pbs": {
        "#PBS -q q",
        "#PBS -A p1",
        "#PBS -l select=1:ncpus=4:mem=8192MB",
        "#PBS -l walltime=02:00:00",
        "#PBS -x",
    },
    "lsf": {
        "#BSUB -q q",
        '#BSUB -P "p1"',
        "#BSUB -n 4",
        '#BSUB -R "span[hosts=1]"',
        "#BSUB -W 02:00",
        "#BSUB -x",
    },
}


@pytest.mark.parametrize("system", HEADS)
def test_job_scripts(system):
    with dask.config.set({**DRIVER, "distributed.comm.timeouts.tcp": "99s", "jobqueue.lsf.lsf-units": "MB"}):
        options = job_options(Wanted(system, 8, 2 * 2**30, COMPUTE))
        taken = {
            "cores",
            "memory",
            "processes",
            "job_name",
            "queue",
            "walltime",
            "job_mem",
            "account",
            "project",
            "worker_extra_args",
            "job_extra_directives",
            "job_script_prologue",
            "local_directory",
            "interface",
            "python",
        }
        script = (
            CLUSTERS[system]
            .job_cls(
                "tls://1.2.3.4:8786",
                name="w",
                **{key: value for key, value in options.items() if key in taken},
            )
            .job_script()
        )
    lines = script.splitlines()
    assert HEADS[system] <= set(lines), script
    for name in ONE_THREAD:
        assert f"export {name}=1" in lines
    assert "export DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP=99s" in lines
    assert "export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False" in lines
    assert lines.index("module load python") > lines.index("export OMP_NUM_THREADS=1")
    (command,) = [line for line in lines if "dask_worker" in line]
    assert "tls://1.2.3.4:8786" in command
    for option in ("--nthreads 1 ", "--nworkers 4 ", "--memory-limit 2.00GiB", "--local-directory $TMPDIR"):
        assert option in command
    assert re.search(r"--lifetime 6840s --lifetime-stagger 144s", command)


def test_dasks_own_config_fills_the_gaps_and_the_run_file_wins():
    config = {
        "jobqueue.slurm.queue": "dasks",
        "jobqueue.slurm.account": "dasks",
        "jobqueue.slurm.walltime": "10:00",
    }
    with dask.config.set({**DRIVER, **config}):
        options = job_options(Wanted("slurm", 1, 2**30, Compute.model_validate({"jobs": {"queue": "mine"}})))
    assert (options["queue"], options["account"]) == ("mine", "dasks")
    assert options["worker_extra_args"][:2] == ["--lifetime", "540s"]


def test_a_lifetime_beyond_the_wall_time_has_no_stagger():
    with dask.config.set(DRIVER):
        settings = Compute.model_validate({"jobs": {"walltime": 60, "lifetime": 3600}})
        options = job_options(Wanted("slurm", 1, 2**30, settings))
    assert options["worker_extra_args"][:4] == ["--lifetime", "3600s", "--lifetime-stagger", "0s"]


def test_dashboards_are_on_loopback_unless_the_user_asks_otherwise():
    with dask.config.set(DRIVER):
        options = job_options(Wanted("slurm", 1, 2**30, Compute()))
    assert options["scheduler_options"] == {"dashboard_address": "127.0.0.1:0"}
    assert options["worker_extra_args"][-2:] == ["--dashboard-address", "127.0.0.1:0"]
    asked = {
        "jobqueue.slurm.scheduler-options": {"dashboard_address": ":8787"},
        "jobqueue.slurm.worker-extra-args": ["--no-dashboard"],
    }
    with dask.config.set({**DRIVER, **asked}):
        options = job_options(Wanted("slurm", 1, 2**30, Compute()))
    assert options["scheduler_options"] == {"dashboard_address": ":8787"}
    assert "--no-dashboard" in options["worker_extra_args"]
    assert "--dashboard-address" not in options["worker_extra_args"]


def test_manifests(tmp_path):
    with dask.config.set(DRIVER):
        made = manifest(Compute.model_validate({"kubernetes": {"image": "tilegc:1"}}), 3, 2**30)
    worker, scheduler = made["spec"]["worker"], made["spec"]["scheduler"]
    (container,) = worker["spec"]["containers"]
    assert worker["replicas"] == 3
    assert container["args"][:2] == ["dask", "worker"]
    assert scheduler["spec"]["containers"][0]["args"][:2] == ["dask", "scheduler"]
    assert {"name": "NUMBA_NUM_THREADS", "value": "1"} in container["env"]
    for role, pod in (("WORKER", container), ("SCHEDULER", scheduler["spec"]["containers"][0])):
        assert {"name": f"DASK_DISTRIBUTED__{role}__PRELOAD", "value": "tilegc.cluster.http_guard"} in pod[
            "env"
        ]
    assert container["resources"]["limits"]["memory"] == "1324Mi"
    assert scheduler["service"]["selector"]["dask.org/cluster-name"] == made["metadata"]["name"]
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(made))
    again = manifest(Compute.model_validate({"kubernetes": {"manifest": str(path)}}), 5, 2**30)
    assert again["spec"]["worker"]["replicas"] == 5
    assert again["metadata"]["name"] != made["metadata"]["name"]
    assert (
        again["spec"]["scheduler"]["service"]["selector"]["dask.org/cluster-name"]
        == again["metadata"]["name"]
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Pod", "is a Pod"),
        ("[1]", "not a DaskCluster with"),
        ("{", "cannot be read"),
        (None, "cannot be"),
    ],
)
def test_a_manifest_that_is_none(tmp_path, text, said):
    path = tmp_path / "cluster.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        manifest(Compute.model_validate({"kubernetes": {"manifest": str(path)}}), 1, 2**30)
    assert "\n" not in str(caught.value)
