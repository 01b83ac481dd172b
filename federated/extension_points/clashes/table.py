"""The table of combinations that do not work: a row for each, and why."""

from __future__ import annotations

from federated.algorithms import Need
from federated.compressors import Trait
from federated.extension_points.clashes.statements import (
    AGGREGATOR,
    ALGORITHM,
    CANARIES,
    DOWNLINK,
    ENGINE,
    LOSS,
    MAX_NORM,
    MOMENTUM,
    OPTIMISER,
    PERSONALISATION,
    PRIVACY,
    SAMPLING,
    SERVER_SCHEDULE,
    TRANSPORT,
    UPLINK,
    WEIGHTING,
    Clash,
    Side,
    States,
)

CLASHES = (
    Clash(
        (Side(DOWNLINK, Trait.WHOLE_MODEL, False), Side(DOWNLINK, Trait.DIFFERENCE, False)),
        "it would damage a whole model, which is what the server broadcasts; use none, float16, bfloat16 or "
        "difference(...)",
    ),
    Clash(
        (Side(UPLINK, Trait.DIFFERENCE),),
        "an update is a difference already; difference is for the downlink",
    ),
    Clash(
        (Side(ALGORITHM, States.VOTES), Side(UPLINK, Trait.VOTES, False)),
        "the votes of sign(scale=one) are for sign_majority, which takes nothing else",
    ),
    Clash(
        (Side(ALGORITHM, States.VOTES, False), Side(UPLINK, Trait.VOTES)),
        "the votes of sign(scale=one) are for sign_majority, which takes nothing else",
    ),
    Clash(
        (Side(ALGORITHM, States.VOTES), Side(AGGREGATOR, States.LINEAR, False)),
        "votes are counted by their sum, so only mean goes with them",
    ),
    Clash(
        (Side(ALGORITHM, States.SENDS_BESIDE), Side(AGGREGATOR, States.LINEAR, False)),
        "what its clients send beside their updates is averaged, so a single client could still move the model at will",
    ),
    Clash(
        (Side(ALGORITHM, States.SENDS_BESIDE), Side(PRIVACY, States.BOUNDS)),
        "its clients send more than their updates, and the mechanism bounds the updates alone",
    ),
    Clash(
        (Side(ALGORITHM, States.SENDS_BESIDE), Side(PRIVACY, States.RELEASES)),
        "its clients send more than their updates, and the mechanism releases the updates alone",
    ),
    Clash(
        (Side(AGGREGATOR, States.LINEAR, False), Side(PRIVACY, States.TELLS)),
        "what clients tell is averaged, so a single client could still move the mechanism at will",
    ),
    Clash(
        (Side(AGGREGATOR, States.LINEAR, False), Side(PRIVACY, States.RELEASES)),
        "the mechanism works on a sum of updates, so only mean goes with it",
    ),
    Clash(
        (Side(ALGORITHM, States.VOTES), Side(PRIVACY, States.RELEASES)),
        "the mechanism changes the sum that the votes are counted by",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(AGGREGATOR, States.LINEAR, False)),
        "the rule needs every update, and the server reads their sum alone",
    ),
    Clash(
        (Side(PRIVACY, States.IN_SUM), Side(TRANSPORT, States.OWN_CODEC, False)),
        "each client adds a part of the noise, and a server that reads each would see little of it; state transport: "
        "secure_aggregation",
    ),
    Clash(
        (Side(PRIVACY, States.IN_SUM), Side(TRANSPORT, States.ROUNDS)),
        "the mechanism rounds updates itself; leave clip and bits out of the transport",
    ),
    Clash(
        (
            Side(TRANSPORT, States.OWN_CODEC),
            Side(TRANSPORT, States.ROUNDS, False),
            Side(PRIVACY, States.IN_SUM, False),
        ),
        "the transport must know how large numbers are; state clip, such as secure_aggregation(clip=0.5)",
    ),
    Clash(
        (Side(PRIVACY, States.IN_SUM), Side(CANARIES, States.ABOVE_ZERO)),
        "canaries would add noise too, and the clients' would be less than all of it",
    ),
    Clash(
        (Side(TRANSPORT, States.OWN_CODEC), Side(UPLINK, States.COMPRESSES)),
        "the transport makes integers of all numbers itself, as their sum must be exact and masks are as long as the "
        "whole update; leave compression.uplink out and state bits",
    ),
    Clash(
        (
            Side(TRANSPORT, States.SUM_ALONE),
            Side(TRANSPORT, States.OWN_CODEC, False),
            Side(UPLINK, Trait.ADDITIVE, False),
        ),
        "the server reads a sum of payloads, and those of this codec cannot be added up",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(ALGORITHM, States.SENDS_BESIDE)),
        "what its clients send beside their updates could be read of each",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(PRIVACY, States.TELLS)),
        "what clients tell could be read of each",
    ),
    Clash(
        (
            Side(TRANSPORT, States.SUM_ALONE),
            Side(TRANSPORT, States.WEIGHS, False),
            Side(WEIGHTING, States.BY_EXAMPLES),
        ),
        "the server cannot weigh updates that it reads as a sum; state cohort.weighting: uniform",
    ),
    Clash(
        (Side(ALGORITHM, States.READS_GRADIENTS), Side(OPTIMISER, States.ALONG_GRADIENTS, False)),
        "it takes how far a client moved for a sum of its gradients, which only steps of sgd are; use sgd, or another "
        "algorithm",
    ),
    Clash(
        (Side(ALGORITHM, Need.NO_MOMENTUM), Side(MOMENTUM, States.ABOVE_ZERO)),
        "its rule is for steps without momentum of their own; leave local.momentum at 0",
    ),
    Clash(
        (Side(ALGORITHM, Need.NO_CLIPPING), Side(MAX_NORM, States.ASKED_FOR)),
        "its clients send gradients that the bound does not hold for, and steps by both would not be of its rule; "
        "leave local.max_gradient_norm out",
    ),
    Clash(
        (Side(ALGORITHM, Need.OWN_CLASSES), Side(LOSS, States.SMOOTHS)),
        "the margins of classes that a client does not hold are so large that label smoothing would push their outputs "
        "without end; leave label_smoothing at 0",
    ),
    Clash(
        (Side(ALGORITHM, Need.LOSS_FROM_ZERO), Side(LOSS, States.NEGATIVE)),
        "it takes powers of the clients' losses, and this one can be below zero; use a loss that never is",
    ),
    Clash(
        (Side(ALGORITHM, Need.SUM), Side(AGGREGATOR, States.LINEAR, False)),
        "its server must remember the sum of what its clients remember, so only mean goes with it",
    ),
    Clash(
        (Side(ALGORITHM, Need.SUM), Side(PRIVACY, States.RELEASES)),
        "its server adds up all rounds, so the mechanism's changes would add up without end",
    ),
    Clash(
        (Side(ALGORITHM, Need.LOOP), Side(ENGINE, States.MANY_AT_ONCE)),
        "its clients are trained one at a time; use auto or loop",
    ),
    Clash(
        (Side(ALGORITHM, Need.OWN_STEPS), Side(OPTIMISER, States.ALONG_GRADIENTS, False)),
        "its clients' steps are its own, and no optimiser's; use sgd, or another algorithm",
    ),
    Clash(
        (Side(ALGORITHM, Need.WHOLE_MOVE), Side(SERVER_SCHEDULE, States.CHANGES)),
        "its server goes to a point and takes no step that a rate could shorten; leave server_schedule out",
    ),
    Clash(
        (Side(ALGORITHM, States.KEEPS_PARAMETERS), Side(PERSONALISATION, States.ASKED_FOR)),
        "each client has its own model already: leave evaluation.personalisation out",
    ),
    Clash(
        (Side(ALGORITHM, Need.EVERY_CLIENT), Side(SAMPLING, States.LEAVES_OUT)),
        "it compares the updates of all clients in every round; leave cohort.sampling out",
    ),
    Clash(
        (Side(ALGORITHM, States.SEVERAL_MODELS), Side(AGGREGATOR, States.LINEAR, False)),
        "each cluster is averaged by itself, and a few liars can be the majority of one; only mean goes with it",
    ),
    Clash(
        (Side(ALGORITHM, States.SEVERAL_MODELS), Side(DOWNLINK, Trait.DIFFERENCE)),
        "a client may have another model in each round, of which the server would have to know what it has; use none, "
        "float16 or bfloat16",
    ),
    Clash(
        (Side(ALGORITHM, States.CLIENTS_CHOOSE), Side(UPLINK, Trait.FEEDBACK)),
        "what it sends later may be of another model than the one that the client then trains",
    ),
    Clash(
        (Side(ALGORITHM, States.CLIENTS_CHOOSE), Side(PRIVACY, States.BOUNDS)),
        "each client tells the model that suits it besides, which the mechanism does not bound",
    ),
    Clash(
        (Side(ALGORITHM, States.SEVERAL_MODELS), Side(PRIVACY, States.RELEASES)),
        "the mechanism changes the sum of all updates, and those of each cluster are used by themselves",
    ),
    Clash(
        (Side(ALGORITHM, States.READS_EACH), Side(PRIVACY, States.TELLS)),
        "the server reads every update, and the mechanism hides what clients tell in a sum alone",
    ),
    Clash(
        (Side(ALGORITHM, States.SEVERAL_MODELS), Side(TRANSPORT, States.SUM_ALONE)),
        "the server needs the updates of each cluster, and reads the sum of all alone",
    ),
    Clash(
        (Side(ALGORITHM, States.SEVERAL_MODELS), Side(PERSONALISATION, States.ASKED_FOR)),
        "fine-tuning begins at one model for all, and each cluster has its own: leave evaluation.personalisation out",
    ),
    Clash(
        (Side(PRIVACY, States.RELEASES), Side(WEIGHTING, States.BY_EXAMPLES)),
        "how much a client counts would depend on how many examples it has, which is private, and so would the noise; "
        "state cohort.weighting: uniform",
    ),
    Clash(
        (Side(PRIVACY, States.GUARANTEES), Side(WEIGHTING, States.BY_EXAMPLES)),
        "clients would tell how many examples they have, which the guarantee does not cover; state cohort.weighting: "
        "uniform",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(PRIVACY, States.BOUNDS_AGAIN)),
        "the mechanism bounds every update that the server decodes, and the server reads their sum alone",
    ),
    Clash(
        (Side(CANARIES, States.ABOVE_ZERO), Side(PRIVACY, States.OF_EXAMPLES)),
        "canaries are clients, and the mechanism protects single examples of one",
    ),
    Clash(
        (Side(CANARIES, States.ABOVE_ZERO), Side(WEIGHTING, States.BY_EXAMPLES)),
        "canaries hold no examples, and count as one client each; state cohort.weighting: uniform",
    ),
    Clash(
        (Side(CANARIES, States.ABOVE_ZERO), Side(ALGORITHM, States.SEVERAL_MODELS)),
        "canaries are traced in the one model that the server has for all",
    ),
    Clash(
        (Side(CANARIES, States.ABOVE_ZERO), Side(ALGORITHM, States.KEEPS_PARAMETERS)),
        "canaries are traced in the one model that all clients answer with, and here each has its own",
    ),
    Clash(
        (Side(CANARIES, States.ABOVE_ZERO), Side(ALGORITHM, States.VOTES)),
        "a vote has no length, and canaries send updates of the mechanism's norm",
    ),
)
"""A row for each; the first that is found is reported."""
