"""Metrics of attacks on the trained model and on updates."""

from __future__ import annotations

from federated.metrics.dictionary.metric import END, Row, higher, lower, neither, row
from federated.metrics.ranges import COUNT, SHARE

_OF = "privacy/{membership,update_membership}_{loss,lira,lira_offline}"
_CORRELATION = (-1.0, 1.0)

ROWS: tuple[Row, ...] = (
    row(
        lower(f"{_OF}_auc", SHARE),
        unit="0 to 1",
        when=END,
        meaning=(
            "membership inference (`leakage.membership`): how often a training example scores higher than a held-out "
            "one of the same clients; 0.5 = as by chance. `membership_`: on the final model; `update_membership_`: on "
            "the update of each client in the round after the last, as the server reads it, or the sum of a cohort "
            "where it reads no more (`updates_in_one`). Of clients whose updates were heard in the run. `loss`: by the "
            "loss alone (Yeom et al. 2018); `lira`: against shadow federations with and without the example (Carlini "
            "et al. 2022); `lira_offline`: against those without it alone"
        ),
    ),
    row(
        lower(f"{_OF}_advantage", SHARE),
        unit="0 to 1",
        when=END,
        meaning="the largest difference of its true and false positive rate",
    ),
    row(
        lower(f"{_OF}_tpr_at_fpr_{{01,001}}", SHARE),
        unit="0 to 1",
        when=END,
        meaning=(
            "the share of members that it finds while it takes at most 1 % (`01`), 0.1 % (`001`) of the others for "
            "members: chance finds as many; absent below 100 (1,000) non-members"
        ),
    ),
    row(
        neither(f"{_OF}_divergence_correlation", _CORRELATION),
        unit="-1 to 1",
        when=END,
        meaning=(
            "rank correlation over clients of the attack's AUC among a client's own examples with the divergence of "
            "its labels from all clients': above 0, outlying clients leak more; absent below five clients with five "
            "members and non-members each"
        ),
    ),
    row(
        neither("privacy/membership_{examples,shadows}"),
        unit="count",
        when=END,
        meaning="examples about which is asked, half of them members; shadow federations that LiRA had",
    ),
    row(
        neither("privacy/{update_membership,inversion}_updates_in_one"),
        unit="count",
        when=END,
        meaning="updates in each that was attacked as the server reads it: 1, or the cohort where it reads a sum alone",
    ),
    row(
        lower("privacy/inversion_{,released_}{,closed_form_}psnr", COUNT),
        unit="dB",
        when=END,
        meaning=(
            "gradient inversion (`leakage.inversion`): how near images that are drawn again from an update are to "
            "those behind it, peak signal over noise, the mean over images, matched with least error; to be read "
            "against `inversion_blind_psnr`. Of updates as the server reads them; `released_`: of the global model's "
            "step, where noise is added at the server. By optimisation (Geiping et al. 2020); `closed_form_`: by the "
            "gradient of a first dense layer, where the model has one"
        ),
    ),
    row(
        higher("privacy/inversion_{,released_}{,closed_form_}mse", COUNT),
        unit="squared pixels",
        when=END,
        meaning="the mean squared error of the same images",
    ),
    row(
        neither("privacy/inversion_blind_psnr"),
        unit="dB",
        when=END,
        meaning="the same of the mean training image, which is guessed without any update",
    ),
    row(
        lower("privacy/inversion_{,released_}label_accuracy", SHARE),
        unit="0 to 1",
        when=END,
        meaning=(
            "how often the class of the one example behind an update is read off its last bias; of updates with "
            "several examples behind them, classes are given to the attack"
        ),
    ),
    row(
        neither("privacy/inversion_images"),
        unit="count",
        when=END,
        meaning="images that were to be drawn again",
    ),
)
