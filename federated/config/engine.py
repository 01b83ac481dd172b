"""The sections of a config on the engine and on the division of the work."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from federated.config.section import Frozen
from federated.foundation.addresses import host_and_port


class Engine(Frozen):
    """The computation of local training. All engines take the same steps and differ only in rounding.

    With bfloat16 rounding is coarse: products of the forward and backward pass keep 8 significant bits. Parameters,
    the loss and the optimiser's step stay in 32 bits, and the kernels for stacks of dense layers are not used.
    """

    name: Literal["auto", "loop", "vectorised"] = Field(
        "auto",
        description="loop: one client at a time; vectorised: many clients at once; auto: whichever is"
        " faster for the model",
    )
    memory_mb: PositiveInt | None = Field(
        None,
        description="Largest memory for clients trained together, in MB; null: 256, or an eighth of "
        "the machine's memory "
        "if that is less. A CPU takes at most 64 MB, or 16 clients",
    )
    client_memory_mb: NonNegativeInt | None = Field(
        None,
        description="Largest memory for what clients remember between rounds (control variates, models and layers of "
        "their own, residuals), in MB; what is beyond it is in a file on the disk of FEDSTUDY_HOME while the run "
        "lasts; null: a quarter of the machine's memory; 0: all of it is in the file",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Number format of the matrix products in local training; bfloat16 uses torch's autocast",
    )
    micro_batch: PositiveInt | None = Field(
        None,
        description="The most examples of a local batch that go through the model at once, whose gradients are added "
        "up: the same step with less memory, but for what dropout draws; of the loop, for models that do not normalise "
        "by their batch. Stacks of dense layers, and features, need no pieces; null: the whole batch",
    )
    cache_features: bool = Field(
        True,
        description="Run the frozen beginning of a model, all that is before the first module of which something is "
        "trained, once for each example, and keep its outputs under FEDSTUDY_HOME for all runs; the log says where "
        "that cannot be, and why. false: run it in every step",
    )

    batch_runs: Literal["auto"] | bool = Field(
        False,
        description="Train runs of a study that share model, data set and local steps together, their clients as "
        "further rows of one stack: the same numbers to rounding. auto: where a trial shows that it is faster (small "
        "models); true: wherever it can be; false: one run after another. Runs in processes of their own "
        "(`--workers`) are apart",
    )
    scale_out: Literal["ray"] | None = Field(
        None,
        description="ray: the clients of a round are trained by several processes of Ray, on this machine or on "
        "others (`make ray` installs it); null: by this process",
    )
    address: str | None = Field(
        None,
        description="The Ray cluster: local, a new one on this machine while the study lasts; auto, the running one "
        "that Ray finds by itself; or the host:port of its head; null: local",
    )
    workers: PositiveInt | None = Field(
        None,
        description="Number of Ray's processes that train, each with `orchestration.threads` threads; with scale_out",
    )
    gpus_per_worker: NonNegativeFloat | None = Field(
        None, description="GPUs of each of them; below 1, several share one; null: none"
    )

    @model_validator(mode="after")
    def _workers_are_of_ray(self) -> Engine:
        stated = [name for name in _OF_SCALE_OUT if getattr(self, name) is not None]
        if self.scale_out is None and stated:
            raise ValueError(
                f"{stated[0]} {getattr(self, stated[0])} has an effect with scale_out: ray alone; "
                "state that too, or leave it out"
            )
        if self.scale_out is not None and self.workers is None:
            raise ValueError(
                f"scale_out: {self.scale_out} needs workers, the number of its processes, such as 2"
            )
        if (share := self.gpus_per_worker or 0.0) > 1 and share != int(share):
            raise ValueError(
                f"gpus_per_worker {share:g} is neither a share of one GPU, such as 0.5, nor a whole number of them"
            )
        if self.address not in (None, "local", "auto") and host_and_port(str(self.address)) is None:
            raise ValueError(
                f"address {self.address!r} is none of local, auto and the host:port of a Ray head, such as "
                "10.0.0.7:6379"
            )
        return self

    @model_validator(mode="after")
    def _stacks_are_of_one_process(self) -> Engine:
        if self.batch_runs is True and (self.name == "loop" or self.scale_out is not None):
            other = "name: loop" if self.name == "loop" else f"scale_out: {self.scale_out}"
            raise ValueError(
                f"batch_runs true trains clients of several runs in one stack, and {other} has no stack: use auto or "
                "false"
            )
        return self

    @model_validator(mode="after")
    def _pieces_are_of_the_loop(self) -> Engine:
        if self.micro_batch is not None and self.name == "vectorised":
            raise ValueError(
                f"vectorised takes whole batches of many clients, and micro_batch {self.micro_batch} is of the loop: "
                "use auto or loop, or leave micro_batch out"
            )
        return self


_OF_SCALE_OUT = ("address", "workers", "gpus_per_worker")


class Orchestration(Frozen):
    """The division of the work. It does not change the results."""

    granularity: Literal["segment", "stage"] = Field(
        "segment",
        description="segment: one Prefect task run for the rounds between two evaluations; stage: one"
        " for each stage of a round",
    )
    threads: PositiveInt | None = Field(
        None,
        description="Number of threads of one run; null: the run's share of the machine's cores",
    )
