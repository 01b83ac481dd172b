"""The sections of a config on the engine and on the division of the work."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from federated.config.section import Frozen


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

    @model_validator(mode="after")
    def _pieces_are_of_the_loop(self) -> Engine:
        if self.micro_batch is not None and self.name == "vectorised":
            raise ValueError(
                f"vectorised takes whole batches of many clients, and micro_batch {self.micro_batch} is of the loop: "
                "use auto or loop, or leave micro_batch out"
            )
        return self


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
